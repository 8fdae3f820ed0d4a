#include "operands.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <gatescan/core/scalar.hpp>
#include <type_traits>

namespace replay {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// f(the type of a dtype)
template <class F>
void with_type(const std::string& dtype, const F& f) {
  if (dtype == "F64") f(std::type_identity<double>{});
  if (dtype == "F32") f(std::type_identity<float>{});
  if (dtype == "BF16") f(std::type_identity<gatescan::bf16>{});
  if (dtype == "F16") f(std::type_identity<gatescan::half>{});
}

void convert(const std::byte* from, const std::string& dtype, std::byte* to,
             const std::string& to_dtype, std::size_t count) {
  if (dtype == to_dtype) {
    std::memcpy(to, from, count * index(safetensors::size_of(dtype)));
    return;
  }
  with_type(dtype, [&]<class A>(std::type_identity<A>) {
    with_type(to_dtype, [&]<class B>(std::type_identity<B>) {
      for (std::size_t i = 0; i < count; ++i) {
        A a;
        std::memcpy(&a, from + i * sizeof a, sizeof a);
        const auto b = gatescan::convert<B>(a);
        std::memcpy(to + i * sizeof b, &b, sizeof b);
      }
    });
  });
}

// Calls f(buffer, first, count) for pieces of so many numbers: they are converted on the way from
// and to the memory that computes.
template <class F>
void piecewise(std::int64_t size, const F& f) {
  constexpr std::int64_t most = 4096;
  std::array<std::byte, most * sizeof(double)> piece;
  for (std::int64_t first = 0; first < size; first += most)
    f(piece.data(), first, std::min(most, size - first));
}

std::int64_t size_of(const shape_type& shape, const std::string& dtype) {
  return safetensors::checked_size(shape, safetensors::size_of(dtype));
}

plain_view dense(void* re, void* im, const shape_type& shape, const std::string& dtype) {
  plain_view x;
  x.re = re, x.im = im;
  x.item = static_cast<int>(safetensors::size_of(dtype));
  x.rank = static_cast<int>(shape.size());
  std::int64_t step = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    x.shape[axis] = shape[axis];
    x.stride[axis] = step;
    step *= shape[axis];
  }
  return x;
}

}  // namespace

const std::string& operands::given_dtype_of(const member& m) const {
  static const std::string whole = "I64";
  if (m.kind == member::offsets) return whole;
  return m.kind == member::state ? state_dtype_ : given_dtype_;
}

// Never null, also for an empty tensor: such an operand is given all the same.
operands::place operands::allocate(const shape_type& shape, const std::string& dtype) {
  const std::int64_t bytes = size_of(shape, dtype) * safetensors::size_of(dtype);
  if (bytes > room_) {
    throw std::runtime_error("a result of shape " + safetensors::to_string(shape) +
                             " does not fit in memory");
  }
  room_ -= bytes;
  memory_.push_back(where_.allocate(bytes));
  return {memory_.back().get(), dtype, shape};
}

// Real numbers, converted where those to compute with are not the file's.
operands::place operands::plane(const std::string& name, const member& m) {
  const auto at = file_.find(name);
  if (at == file_.end()) throw tensor_error(name, "is missing");
  used_.insert(name);
  const auto& [dtype, shape, bytes] = at->second;
  const auto rank = static_cast<int>(shape.size()), expected = m.axes.rank;
  const bool may_lack_group = m.axes.has(gatescan::axis::group);
  if (rank != expected && !(may_lack_group && rank == expected - 1)) {
    const auto other = may_lack_group ? " or " + std::to_string(expected - 1) : std::string();
    throw tensor_error(name, "must have " + std::to_string(expected) + other + " axes, has shape " +
                                 safetensors::to_string(shape));
  }
  const std::string& in_file = m.kind == member::offsets ? given_dtype_of(m) : dtype_;
  const bool may_be_float = m.kind == member::gate && safetensors::size_of(dtype_) == 2;
  if (dtype != in_file && !(may_be_float && dtype == "F32"))
    throw tensor_error(name, "must have dtype " + in_file + (may_be_float ? " or F32" : "") +
                                 ", has " + safetensors::printable(dtype));
  const place to = allocate(shape, given_dtype_of(m));
  const std::int64_t item = safetensors::size_of(to.dtype), file_item = safetensors::size_of(dtype);
  piecewise(size_of(shape, to.dtype),
            [&](std::byte* piece, std::int64_t first, std::int64_t count) {
              convert(bytes.data() + first * file_item, dtype, piece, to.dtype, index(count));
              where_.write(static_cast<std::byte*>(to.data) + first * item, piece, count * item);
            });
  return to;
}

plain_view operands::read(const member& m) {
  const std::string imaginary = m.name + "_im";
  const bool is_complex = m.may_be_complex && has(imaginary);
  if (!m.required && !has(m.name) && !is_complex) return {};
  const place re = plane(m.name, m);
  if (!is_complex) return dense(re.data, nullptr, re.shape, re.dtype);
  const place im = plane(imaginary, m);
  if (re.shape != im.shape)
    throw tensor_error(imaginary, "must have the shape of " + safetensors::printable(m.name));
  has_imaginary_parts_ = true;
  return dense(re.data, im.data, re.shape, re.dtype);
}

void* operands::zeros(const place& like) {
  const place all = allocate(like.shape, like.dtype);
  const std::int64_t item = safetensors::size_of(all.dtype);
  piecewise(size_of(all.shape, all.dtype),
            [&](std::byte* piece, std::int64_t first, std::int64_t count) {
              std::fill_n(piece, count * item, std::byte{});
              where_.write(static_cast<std::byte*>(all.data) + first * item, piece, count * item);
            });
  return all.data;
}

plain_view operands::read_gradient(member m, bool is_complex) {
  m.name = "d_" + m.name;
  m.may_be_complex = is_complex;
  plain_view x = read(m);
  if (is_complex && x.rank > 0 && x.im == nullptr)
    x.im = zeros({x.re, given_dtype_of(m), {x.shape, x.shape + x.rank}});
  return x;
}

void operands::reject_unknown(const std::vector<std::string>& allowed) const {
  for (const auto& [name, entry] : file_)
    if (!used_.contains(name) && std::find(allowed.begin(), allowed.end(), name) == allowed.end())
      throw tensor_error(name, "is not an operand here");
}

operands::place operands::written(const std::string& name, const shape_type& shape,
                                  const std::string& dtype, const std::string& given_dtype) {
  const place to = allocate(shape, given_dtype);
  results_.push_back({name, dtype, to});
  return to;
}

plain_view operands::result_in(const member& m, const shape_type& shape, bool is_complex,
                               const std::string& dtype) {
  const std::string& given = given_dtype_of(m);
  void* const re = written(m.name, shape, dtype, given).data;
  void* const im = is_complex ? written(m.name + "_im", shape, dtype, given).data : nullptr;
  return dense(re, im, shape, given);
}
plain_view operands::result(const member& m, const shape_type& shape, bool is_complex) {
  return result_in(m, shape, is_complex, dtype_);
}

plain_view operands::gradient(const member& m) {
  if (!has(m.name)) return {};
  member d = m;
  d.name = "d_" + m.name;
  const safetensors::entry& of = file_.find(m.name)->second;
  return result_in(d, of.shape, m.may_be_complex && has(m.name + "_im"), of.dtype);
}

safetensors::tensor operands::fetch(const written_result& result) const {
  const place& from = result.from;
  const std::int64_t item = safetensors::size_of(from.dtype),
                     count = size_of(from.shape, from.dtype),
                     file_item = safetensors::size_of(result.dtype);
  safetensors::tensor t{result.name, result.dtype, from.shape,
                        std::vector<std::byte>(index(count * file_item))};
  piecewise(count, [&](std::byte* piece, std::int64_t first, std::int64_t some) {
    where_.read(piece, static_cast<const std::byte*>(from.data) + first * item, some * item);
    convert(piece, from.dtype, t.bytes.data() + first * file_item, result.dtype, index(some));
  });
  return t;
}

std::vector<safetensors::tensor> operands::results() const {
  std::vector<safetensors::tensor> all;
  for (const written_result& result : results_) all.push_back(fetch(result));
  return all;
}

}  // namespace replay
