// M4: more heads and sequences than 16 bits count, and strides and offsets that 32 bits do not
// hold, in elements and in bytes. Memory is reserved, not used: a page for each row of an operand.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "../support/placed.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 16}, {mode::attention, 0}};

template <class O>
class large : public ::testing::Test {};
using recurrences = ::testing::Types<real_elementwise, gla>;
TYPED_TEST_SUITE(large, recurrences);

TYPED_TEST(large, M4_65537_lanes) {
  using O = TypeParam;
  for (const sizes& n : {sizes{65537, 3, 1, 2, 2}, sizes{1, 3, 65537, 2, 2}}) {
    const auto in = rounded<O, float>(problem<O>(n, options{}, 170));
    const auto want = O::forward(in);
    const auto dout = rounded_results<O, float>(random_gradients<O>(want, 171));
    const auto gradients = O::backward(in, dout);
    settings how;
    how.threads = 2;
    for (const mode& m : modes) {
      SCOPED_TRACE(::testing::Message() << m << " " << n);
      expect_results<O>(run_forward<O, float>(m, in, how), want, tolerance_of<float>());
      expect_gradients<O>(run_backward<O, float>(m, in, dout, how), gradients,
                          tolerance_of<float>());
    }
  }
}

struct far_place {
  std::size_t axis;  // whose neighbours lie far apart
  int64 stride;
};

// An operand in address space of its own, dense but for one axis.
template <class S>
class far {
 public:
  far() = default;  // not given
  far(const extents& shape, bool, const far_place& place) : shape_(shape), stride_(shape.size()) {
    const std::size_t axis = std::min(place.axis, shape.size() - 1);
    int64 step = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
      stride_[i] = i == axis ? place.stride : step;
      if (i != axis) step *= shape[i];
    }
    const int64 reach = (shape[axis] - 1) * std::abs(place.stride);
    first_ = place.stride < 0 ? reach : 0;
    bytes_ = static_cast<std::size_t>(reach + step) * sizeof(S);
    void* all = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc{};
    all_ = static_cast<S*>(all);
  }
  far(const tensor<double>& x, bool complex, const far_place& place)
      : far(x.shape, complex, place) {
    each([&](std::size_t n, S& to) { to = to_storage<S>(x.data[n]); });
  }
  far(const tensor<int64>& x, bool complex, const far_place&)  // must be dense
      : far(x.shape, complex, far_place{0, 1}) {
    std::copy(x.data.begin(), x.data.end(), all_);
  }
  far(far&& o) noexcept { *this = std::move(o); }
  far& operator=(far&& o) noexcept {
    std::swap(shape_, o.shape_), std::swap(stride_, o.stride_);
    std::swap(first_, o.first_), std::swap(bytes_, o.bytes_), std::swap(all_, o.all_);
    return *this;
  }
  ~far() {
    if (all_ != nullptr) munmap(all_, bytes_);
  }

  void read(tensor<double>& x) const {
    x = tensor<double>(shape_);
    each([&](std::size_t n, S& from) { x.data[n] = from_storage(from); });
  }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::view<T>() const {
    if (all_ == nullptr) return {};
    gatescan::layout l;
    l.rank = static_cast<int>(shape_.size());
    for (std::size_t i = 0; i < shape_.size(); ++i)
      l.shape[i] = shape_[i], l.stride[i] = stride_[i];
    return {all_ + first_, l};
  }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::complex_view<T>() const {
    return gatescan::view<T>(*this);
  }

 private:
  template <class F>
  void each(F f) const {
    extents i(shape_.size(), 0);
    for (std::size_t n = 0; n < static_cast<std::size_t>(count(shape_)); ++n) {
      int64 at = first_;
      for (std::size_t axis = 0; axis < i.size(); ++axis) at += i[axis] * stride_[axis];
      f(n, all_[at]);
      for (std::size_t axis = i.size(); axis-- > 0;) {
        if (++i[axis] < shape_[axis]) break;
        i[axis] = 0;
      }
    }
  }
  extents shape_, stride_;
  int64 first_ = 0;
  std::size_t bytes_ = 0;
  S* all_ = nullptr;
};

TYPED_TEST(large, M4_far_strides_change_no_bit) {
  using O = TypeParam;
  if constexpr (sizeof(void*) < 8) GTEST_SKIP();
  const auto in = rounded<O, float>(problem<O>({3, 37, 2, 3, 5}, options{}, 172));
  const auto dout = rounded_results<O, float>(random_gradients<O>(O::blank(in), 173));
  for (const mode& m : modes) {
    const auto results = run_forward<O, float>(m, in);
    const auto gradients = run_backward<O, float>(m, in, dout);
    for (std::size_t axis = 0; axis < 4; ++axis)
      // bytes cross 2^31 and 2^32; so do elements; so does a single step, and backwards
      for (const int64 stride :
           {(int64{1} << 29) + 3, (int64{1} << 31) + 5, -(int64{1} << 32) - 7}) {
        SCOPED_TRACE(::testing::Message() << m << " axis " << axis << " stride " << stride);
        placed_problem<O, float, far> p(in, dout, far_place{axis, stride});
        with_mode<O>(m, [&](auto chosen) {
          gatescan::forward(gatescan::cpu{.threads = 2}, chosen, p.inputs, p.results);
          gatescan::backward(gatescan::cpu{.threads = 2}, chosen, p.inputs, p.output_gradients,
                             p.gradients);
        });
        p.expect_the_bits_of(results);
        p.expect_the_bits_of(gradients);
        if (this->HasFailure()) return;
      }
  }
}

// 2^32 + 192 elements, all of them the same number: a count that wraps would stop after 3 tokens
TEST(quality, M4_more_elements_than_32_bits_count) {
#if !defined(__OPTIMIZE__)
  GTEST_SKIP() << "minutes without optimisation";
#endif
  using gatescan::view;
  constexpr int64 L = (int64{1} << 26) + 3, D = 64;
  const float one = 1;
  std::vector<float> state(D);
  const view<const float> ones(&one, {1, L, 1, D}, {0, 0, 0, 0});
  gatescan::forward(gatescan::cpu{.threads = 1}, gatescan::recurrent{},
                    gatescan::elementwise::inputs<float>{ones, ones, {}, {}},
                    {.out = {}, .final_state = view<float>(state.data(), {1, 1, D})});
  EXPECT_EQ(state, std::vector<float>(D, 0x1p24f));  // from where adding 1 changes nothing
}

}  // namespace
