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

// The places before an axis, and after it.
std::pair<std::int64_t, std::int64_t> around(const shape_type& shape, int axis) {
  std::int64_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (i != index(axis)) (i < index(axis) ? outer : inner) *= shape[i];
  return {outer, inner};
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

operands::share operands::share_of(const member& m, const shape_type& whole) const {
  share s{0, {0, 1}, whole};
  if (whole.empty()) return s;
  for (int i = 0; i < m.axes.rank && index(i) < whole.size(); ++i)
    if (m.axes.of[i] == gatescan::axis::time) s.axis = i;
  const gatescan::axis cut = m.axes.rank > 0 ? m.axes.of[s.axis] : gatescan::axis::channel;
  s.from = piece_.held(cut, whole[index(s.axis)], m.kind == member::state);
  s.shape[index(s.axis)] = s.from.count();
  return s;
}

// Pieces are cut by the number of tokens and sequences that all have.
void operands::check_cut_axis(const std::string& name, const member& m, const shape_type& shape,
                              int axis) const {
  if (piece_.is_all() || shape.empty()) return;
  const bool in_time = m.axes.of[axis] == gatescan::axis::time;
  if (!in_time && (m.kind != member::state || !piece_.is_packed())) return;
  const std::int64_t all = in_time ? piece_.all_tokens() : piece_.all_sequences();
  if (shape[index(axis)] != all)
    throw tensor_error(name, "must have " + std::to_string(all) +
                                 (in_time ? " tokens" : " sequences") + ", has shape " +
                                 safetensors::to_string(shape));
}

// Some numbers, converted where those to compute with are not the file's.
void operands::write(const place& to, std::int64_t at, const std::byte* from,
                     const std::string& dtype, std::int64_t size) {
  const std::int64_t item = safetensors::size_of(to.dtype), file_item = safetensors::size_of(dtype);
  piecewise(size, [&](std::byte* buffer, std::int64_t first, std::int64_t count) {
    convert(from + first * file_item, dtype, buffer, to.dtype, index(count));
    where_.write(static_cast<std::byte*>(to.data) + (at + first) * item, buffer, count * item);
  });
}

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
  const std::string other = may_be_float ? "F32" : m.is_logarithm ? state_dtype_ : in_file;
  if (dtype != in_file && dtype != other)
    throw tensor_error(name, "must have dtype " + in_file +
                                 (other != in_file ? " or " + other : "") + ", has " +
                                 safetensors::printable(dtype));
  if (m.kind == member::offsets && !piece_.is_all()) {
    const std::vector<std::int64_t> own = piece_.offsets();
    const place to = allocate({static_cast<std::int64_t>(own.size())}, dtype);
    where_.write(to.data, own.data(), to.shape[0] * safetensors::size_of(dtype));
    return to;
  }
  const share part = share_of(m, shape);
  check_cut_axis(name, m, shape, part.axis);
  const place to = allocate(part.shape, given_dtype_of(m));
  const auto [outer, inner] = around(shape, part.axis);
  const std::int64_t file_item = safetensors::size_of(dtype), count = part.from.count() * inner;
  if (count == 0) return to;
  const std::int64_t row = shape.empty() ? 1 : shape[index(part.axis)] * inner;
  for (std::int64_t i = 0; i < outer; ++i)
    write(to, i * count, bytes.data() + (i * row + part.from.begin * inner) * file_item, dtype,
          count);
  return to;
}

plain_view operands::read(const member& m) {
  const std::string imaginary = m.name + "_im";
  const bool is_complex = m.may_be_complex && has(imaginary);
  if (!m.required && !has(m.name) && !is_complex) return {};
  const place re = plane(m.name, m);
  if (!is_complex) return dense(re.data, nullptr, re.shape, re.dtype);
  const place im = plane(imaginary, m);
  const std::string &dtype = file_.find(m.name)->second.dtype,
                    &im_dtype = file_.find(imaginary)->second.dtype;
  if (dtype != im_dtype)
    throw tensor_error(imaginary, "must have dtype " + dtype + " as " +
                                      safetensors::printable(m.name) + ", has " + im_dtype);
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

plain_view operands::result_in(const member& m, const shape_type& whole, bool is_complex,
                               const std::string& dtype, owners by) {
  const std::string& given = given_dtype_of(m);
  const share part = share_of(m, whole);
  const auto written = [&](const std::string& name) {
    const place to = allocate(part.shape, given);
    results_.push_back({name, dtype, to, whole, part, by});
    return to.data;
  };
  void* const re = written(m.name);
  void* const im = is_complex ? written(m.name + "_im") : nullptr;
  return dense(re, im, part.shape, given);
}
plain_view operands::result(const member& m, const shape_type& whole, bool is_complex) {
  return result_in(m, whole, is_complex, m.is_logarithm ? state_dtype_ : dtype_,
                   m.kind == member::state ? owners::ends : owners::time);
}

plain_view operands::gradient(const member& m) {
  if (!has(m.name)) return {};
  member d = m;
  d.name = "d_" + m.name;
  const safetensors::entry& of = file_.find(m.name)->second;
  const owners by = m.kind == member::state            ? owners::begins
                    : m.axes.has(gatescan::axis::time) ? owners::time
                                                       : owners::first;
  return result_in(d, of.shape, m.may_be_complex && has(m.name + "_im"), of.dtype, by);
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

std::vector<partial_result> operands::results() const {
  std::vector<partial_result> all;
  for (const written_result& result : results_)
    all.push_back({fetch(result), result.whole, result.part.axis, result.part.from, result.by});
  return all;
}

}  // namespace replay
