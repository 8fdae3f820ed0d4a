// Shapes, strides, pointers and sizes of every kind given to the verbs of a recurrence: an error
// before anything is written, or an answer, and never a byte outside of what the views span.
#include <gatescan/gatescan.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using gatescan::index_t;

// Choices out of the bytes; zeros when they are used up.
struct choices {
  const std::uint8_t* at;
  const std::uint8_t* end;

  int below(int n) { return at == end ? 0 : *at++ % n; }
};

constexpr index_t room = 4096;  // elements a view's memory has

// The elements that a view reaches lie in [low, high].
bool fits(const gatescan::layout& x) {
  index_t low = 0, high = 0;
  for (int i = 0; i < x.rank; ++i) {
    if (x.shape[i] < 0) return true;  // refused
    const index_t reach = (x.shape[i] - 1) * x.stride[i];
    (reach < 0 ? low : high) += reach;
  }
  return x.size() == 0 || (low >= -room / 2 && high < room / 2);
}

template <class R>
class problem {
 public:
  explicit problem(choices& from) : from_(from) {
    for (index_t& extent : extents_) extent = from_.below(5);
  }

  bool run() {
    R::operands([&](const char*, const gatescan::axes& a, gatescan::presence, auto& x,
                    auto& d) { make(a, x), make(a, d, true); },
                in_, d_);
    make_state(in_.initial_state);
    make(R::out_axes, out_.out);
    make_state(out_.final_state);
    make(R::out_axes, d_out_.out);
    make_state(d_out_.final_state);
    if (from_.below(8) == 0) {
      offsets_ = {0, from_.below(6), from_.below(6), from_.below(6)};
      in_.sequence_offsets = {from_.below(8) == 0 ? nullptr : offsets_.data(),
                              {1 + from_.below(4)}};
    }
    if (!fits_) return false;
    const int mode = from_.below(5), size = from_.below(40) - 3;
    if (mode == 0) call(gatescan::recurrent{});
    if (mode == 1) call(gatescan::chunked{size});
    if (mode == 2) call(gatescan::scan{size});
    if (mode == 3) call(gatescan::attention{});
    if (mode == 4) call(gatescan::automatic{});
    return true;
  }

 private:
  template <class Mode>
  void call(const Mode& mode) {
    const gatescan::cpu backend{.threads = from_.below(3) - (from_.below(64) == 0)};
    refused([&] { gatescan::forward(backend, mode, in_, out_); });
    refused([&] { gatescan::backward(backend, mode, in_, d_out_, d_); });
    refused([&] { gatescan::step(backend, in_, out_.final_state, out_.out); });
  }
  // A call that is refused has written nothing.
  template <class F>
  void refused(F&& f) {
    const auto before = memory_;
    try {
      f();
    } catch (const std::invalid_argument& error) {
      if (*error.what() == '\0') std::abort();
      for (std::size_t i = 0; i < memory_.size(); ++i)
        if (std::memcmp(memory_[i].data(), before[i].data(), before[i].size() * sizeof(float)) != 0)
          std::abort();
    }
  }
  template <class State>
  void make_state(State& x) {
    gatescan::detail::for_each_part<R>(
        [&](gatescan::state_part, const char*, const gatescan::axes& a, auto& part) {
          make(a, part, true);
        },
        x);
  }
  // A dense view most of the time; else with another extent, stride, rank or pointer.
  template <class View>
  void make(const gatescan::axes& a, View& x, bool may_lack = false) {
    if (may_lack && from_.below(3) == 0) return;
    gatescan::layout where;
    where.rank = a.rank;
    index_t step = 1;
    for (int i = a.rank - 1; i >= 0; --i) {
      where.shape[i] = extents_[static_cast<int>(a.of[i])];
      if (a.of[i] == gatescan::axis::sequence) where.shape[i] = extents_[0];
      where.stride[i] = step;
      step *= where.shape[i] > 0 ? where.shape[i] : 1;
    }
    const int change = from_.below(12), axis = from_.below(5);
    if (change == 0) where.shape[axis] = from_.below(7) - 1;
    if (change == 1) where.stride[axis] = from_.below(21) - 10;
    if (change == 2) where.rank = axis;
    if (change == 3) where.stride[axis] *= -1;
    if (change == 4) where.stride[axis] = 0;
    if (change == 5) where.well_formed = false;
    fits_ = fits_ && fits(where);
    memory_.emplace_back(room, -0.5f);
    float* const middle = change == 6 ? nullptr : memory_.back().data() + room / 2;
    if constexpr (requires { x.im; })
      x = {middle, from_.below(2) || middle == nullptr ? nullptr : middle + step, where};
    else
      x = {middle, where};
  }

  choices& from_;
  index_t extents_[16];
  bool fits_ = true;
  std::vector<std::vector<float>> memory_;
  std::vector<index_t> offsets_;
  typename R::template inputs<float> in_{};
  typename R::template gradients<float> d_{};
  typename R::template outputs<float> out_{};
  typename R::template output_gradients<float> d_out_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  choices from{data, data + size};
  problem<gatescan::FUZZED> made(from);
  made.run();
  return 0;
}
