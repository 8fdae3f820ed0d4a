// Tensors of a file as views of some memory, and results in that memory as tensors of a file.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device_calls/device.hpp"
#include "piece.hpp"
#include "recurrences.hpp"
#include "safetensors.hpp"

namespace replay {

using device_calls::plain_view;
using safetensors::shape_type;

/// The file is sound, but not what this recurrence takes; `what()` names the tensor.
struct tensor_error : std::runtime_error {
  tensor_error(std::string_view name, const std::string& what)
      : std::runtime_error("tensor " + safetensors::printable(name) + " " + what) {}
};

/// A result as it is written: what this rank has of it, and the shape of the whole.
struct partial_result {
  safetensors::tensor held;
  shape_type whole;
  int axis;    // that is cut, where ranks follow each other
  range from;  // of this axis: what is held
  owners by;
};

/// What a recurrence reads and writes: `read` makes views of the file's tensors, `result` and
/// `gradient` views whose values `results` hands over to be written. Names an imaginary part
/// NAME_im, a gradient d_NAME. Every view stays valid as long as this does. Of a piece views are of
/// its tokens and sequences, and no more of the file is read.
class operands {
 public:
  /// The file's tensors are of `dtype`, gates may be F32 beside one of 16 bits. They are given to
  /// the library in `given_dtype`, states in `state_dtype`.
  operands(const safetensors::entries& file, const piece& part, device_calls::memory& where,
           std::string dtype, std::string given_dtype, std::string state_dtype)
      : file_(file),
        piece_(part),
        where_(where),
        dtype_(std::move(dtype)),
        given_dtype_(std::move(given_dtype)),
        state_dtype_(std::move(state_dtype)),
        room_(where.room()) {}

  /// A tensor with the axes of `m`; a `group` axis may be missing. Not given where it is optional
  /// and the file lacks it.
  plain_view read(const member& m);
  bool has_imaginary_parts() const { return has_imaginary_parts_; }

  /// The gradient of a result; where that is complex, its imaginary part is 0 if the file has none.
  plain_view read_gradient(member result, bool is_complex);

  /// Throws unless every tensor of the file was asked for or is allowed; a misspelt optional
  /// operand would otherwise change the answer in silence.
  void reject_unknown(const std::vector<std::string>& allowed) const;

  /// `shape`: of the whole.
  plain_view result(const member& m, const shape_type& shape, bool is_complex);
  /// Room for d_NAME if the file has NAME, else "not wanted".
  plain_view gradient(const member& m);

  std::vector<partial_result> results() const;

 private:
  struct place {
    void* data;
    std::string dtype;  // of the numbers there
    shape_type shape;
  };
  // What there is of a tensor in this piece: on one axis, some places.
  struct share {
    int axis = 0;
    range from;
    shape_type shape;
  };
  struct written_result {
    std::string name, dtype;  // in the file that is written
    place from;
    shape_type whole;
    share part;
    owners by;
  };

  bool has(const std::string& name) const { return file_.contains(name); }
  const std::string& given_dtype_of(const member& m) const;
  place allocate(const shape_type& shape, const std::string& dtype);
  share share_of(const member& m, const shape_type& whole) const;
  void check_cut_axis(const std::string& name, const member& m, const shape_type& shape,
                      int axis) const;
  place plane(const std::string& name, const member& m);
  void write(const place& to, std::int64_t first, const std::byte* from, const std::string& dtype,
             std::int64_t count);
  void* zeros(const place& like);
  plain_view result_in(const member& m, const shape_type& whole, bool is_complex,
                       const std::string& dtype, owners by);
  safetensors::tensor fetch(const written_result& result) const;

  const safetensors::entries& file_;
  const piece& piece_;
  device_calls::memory& where_;
  const std::string dtype_, given_dtype_, state_dtype_;
  std::int64_t room_;  // memory that is only promised ends in a kill
  std::set<std::string, std::less<>> used_;
  bool has_imaginary_parts_ = false;
  std::vector<std::shared_ptr<void>> memory_;
  std::vector<written_result> results_;
};

}  // namespace replay
