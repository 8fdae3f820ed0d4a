// Tensors of a file as typed views, and typed results as tensors of a file.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <gatescan/core/scalar.hpp>
#include <gatescan/core/view.hpp>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device_calls/device.hpp"
#include "safetensors.hpp"

namespace replay {

using gatescan::complex_view;
using gatescan::view;
using safetensors::shape_type;

/// The file is sound, but not what this recurrence takes; `what()` names the tensor.
struct tensor_error : std::runtime_error {
  tensor_error(std::string_view name, const std::string& what)
      : std::runtime_error("tensor " + safetensors::printable(name) + " " + what) {}
};

template <class Storage>
inline constexpr const char* dtype_of = nullptr;
template <>
inline constexpr const char* dtype_of<double> = "F64";
template <>
inline constexpr const char* dtype_of<float> = "F32";
template <>
inline constexpr const char* dtype_of<gatescan::bf16> = "BF16";
template <>
inline constexpr const char* dtype_of<gatescan::half> = "F16";
template <>
inline constexpr const char* dtype_of<std::int64_t> = "I64";

/// What a recurrence reads and writes in number format T, in some memory: `required` and `optional`
/// are views of the file's tensors, `result` and `gradient` views whose values `results` hands over
/// to be written. Names an imaginary part NAME_im, a gradient d_NAME. Every view stays valid as
/// long as this does.
template <class T>
class operands {
 public:
  using storage = gatescan::storage_t<T>;
  using state = gatescan::state_t<T>;

  operands(const safetensors::entries& file, device_calls::memory& where)
      : file_(file), where_(where), room_(where.room()) {}
  operands(const operands&) = delete;  // the results know where this is
  operands& operator=(const operands&) = delete;

  bool has(const std::string& name) const { return file_.contains(name); }

  /// A tensor that must be there, with `rank` axes (or `other_rank`). Converted where Element is
  /// not the file's format: states are kept in state_t<T>.
  template <class Element = storage>
  view<const Element> required(const std::string& name, int rank, int other_rank = -1) {
    const auto at = file_.find(name);
    if (at == file_.end()) throw tensor_error(name, "is missing");
    used_.insert(name);
    const auto& [dtype, shape, bytes] = at->second;
    const auto got = static_cast<int>(shape.size());
    if (got != rank && got != other_rank) {
      const auto other = other_rank > 0 ? " or " + std::to_string(other_rank) : std::string();
      throw tensor_error(name, "must have " + std::to_string(rank) + other + " axes, has shape " +
                                   safetensors::to_string(shape));
    }
    using stored = std::conditional_t<std::is_same_v<Element, std::int64_t>, Element, storage>;
    if (dtype != dtype_of<stored>) {
      throw tensor_error(name, std::string("must have dtype ") + dtype_of<stored> + ", has " +
                                   safetensors::printable(dtype));
    }
    const view<Element> all = allocate<Element>(shape);
    piecewise<Element>(all.size(), [&](Element* piece, std::int64_t first, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        stored value;
        std::memcpy(&value, bytes.data() + index(first + i) * sizeof(stored), sizeof(stored));
        piece[i] = gatescan::convert<Element>(value);
      }
      where_.write(all.data + first, piece, count * item<Element>);
    });
    return all;
  }

  template <class Element = storage>
  view<const Element> optional(const std::string& name, int rank) {
    return has(name) ? required<Element>(name, rank) : view<const Element>{};
  }

  template <class Element = storage>
  complex_view<const Element> required_complex(const std::string& name, int rank) {
    const view<const Element> re = required<Element>(name, rank);
    if (!has(name + "_im")) return re;
    const view<const Element> im = required<Element>(name + "_im", rank);
    if (!std::equal(re.shape, re.shape + rank, im.shape)) {
      throw tensor_error(name + "_im", "must have the shape of " + safetensors::printable(name));
    }
    return {re, im};
  }

  template <class Element = storage>
  complex_view<const Element> optional_complex(const std::string& name, int rank) {
    return has(name) || has(name + "_im") ? required_complex<Element>(name, rank)
                                          : complex_view<const Element>{};
  }

  /// The gradient of a complex result: its imaginary part is 0 where the file has none.
  template <class Element = storage>
  complex_view<const Element> result_gradient(const complex_view<const Element>& given) {
    if (!given.given() || given.im != nullptr) return given;
    const shape_type shape(given.shape, given.shape + given.rank);
    const view<Element> zeros = allocate<Element>(shape);
    piecewise<Element>(zeros.size(), [&](Element* piece, std::int64_t first, std::int64_t count) {
      std::fill_n(piece, count, Element{});
      where_.write(zeros.data + first, piece, count * item<Element>);
    });
    return {view<const Element>(given.re, given), zeros};
  }

  /// Throws unless every tensor of the file was asked for or is allowed; a misspelt optional
  /// operand would otherwise change the answer in silence.
  void reject_unknown(std::initializer_list<std::string_view> allowed) const {
    for (const auto& [name, entry] : file_) {
      if (!used_.contains(name) &&
          std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
        throw tensor_error(name, "is not an operand here");
      }
    }
  }

  template <class Element = storage>
  view<Element> result(const std::string& name, const shape_type& shape) {
    const view<Element> all = allocate<Element>(shape);
    results_.push_back([this, name, shape, data = all.data, size = all.size()] {
      safetensors::tensor t{name, dtype_of<storage>, shape,
                            std::vector<std::byte>(index(size) * sizeof(storage))};
      piecewise<Element>(size, [&](Element* piece, std::int64_t first, std::int64_t count) {
        where_.read(piece, data + first, count * item<Element>);
        for (std::int64_t i = 0; i < count; ++i) {
          const auto value = gatescan::convert<storage>(piece[i]);
          std::memcpy(t.bytes.data() + index(first + i) * sizeof(storage), &value, sizeof(storage));
        }
      });
      return t;
    });
    return all;
  }

  template <class Element = storage>
  complex_view<Element> complex_result(const std::string& name, const shape_type& shape,
                                       bool is_complex) {
    const view<Element> re = result<Element>(name, shape);
    if (!is_complex) return re;
    return {re, result<Element>(name + "_im", shape)};
  }

  /// Room for d_NAME if the file has NAME, else "not wanted".
  template <class Element = storage>
  view<Element> gradient(const std::string& name) {
    return has(name) ? result<Element>("d_" + name, file_.find(name)->second.shape)
                     : view<Element>{};
  }

  template <class Element = storage>
  complex_view<Element> complex_gradient(const std::string& name) {
    const view<Element> re = gradient<Element>(name);
    if (!has(name + "_im")) return re;
    const view<Element> im = gradient<Element>(name + "_im");
    return {re, im};
  }

  std::vector<safetensors::tensor> results() const {
    std::vector<safetensors::tensor> tensors;
    for (const auto& tensor_of : results_) tensors.push_back(tensor_of());
    return tensors;
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  template <class Element>
  static constexpr auto item = static_cast<std::int64_t>(sizeof(Element));

  // Calls f(buffer, first, count) for pieces of so many numbers: they are converted on the way from
  // and to the memory that computes.
  template <class Element, class F>
  static void piecewise(std::int64_t size, const F& f) {
    std::array<Element, 4096> piece;
    for (std::int64_t first = 0; first < size; first += std::ssize(piece))
      f(piece.data(), first, std::min<std::int64_t>(std::ssize(piece), size - first));
  }

  // Never null, also for an empty tensor: such an operand is given all the same.
  template <class Element>
  view<Element> allocate(const shape_type& shape) {
    const std::int64_t bytes = safetensors::checked_size(shape, item<Element>) * item<Element>;
    if (bytes > room_) {
      throw std::runtime_error("a result of shape " + safetensors::to_string(shape) +
                               " does not fit in memory");
    }
    room_ -= bytes;
    const auto owner = where_.allocate(bytes);
    memory_.push_back(owner);
    gatescan::layout dense;
    gatescan::index_t step = 1;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      dense.shape[axis] = shape[axis];
      dense.stride[axis] = step;
      step *= shape[axis];
    }
    dense.rank = static_cast<int>(shape.size());
    return {static_cast<Element*>(owner.get()), dense};
  }

  const safetensors::entries& file_;
  device_calls::memory& where_;
  std::int64_t room_;  // memory that is only promised ends in a kill
  std::set<std::string, std::less<>> used_;
  std::vector<std::shared_ptr<void>> memory_;
  std::vector<std::function<safetensors::tensor()>> results_;
};

}  // namespace replay
