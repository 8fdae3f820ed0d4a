// Shapes, strides, pointers and sizes of every kind given to every verb of a recurrence: an error
// before anything is written, or an answer, and never a byte outside of what the views span.
#include <gatescan/gatescan.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

namespace {

using gatescan::index_t;

// Choices out of the bytes; zeros when they are used up.
struct choices {
  const std::uint8_t* at;
  const std::uint8_t* end;

  int below(int n) { return at == end ? 0 : *at++ % n; }
};

constexpr index_t room = 2048;  // elements a view's memory has

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
  using inputs = typename R::template inputs<float>;
  using format_problem = typename R::template problem<float>;

 public:
  explicit problem(choices& from) : from_(from), one_token_(from.below(5) == 4) {
    for (index_t& extent : extents_) extent = from_.below(5);
    if (from_.below(8) != 7) make_extents_agree();
  }

  void run() {
    R::operands([&](const char*, const gatescan::axes& a, gatescan::presence, auto& x,
                    auto& d) { make(a, x), make(a, d, true); },
                in_, d_);
    R::options([&](const char*, auto& option) { choose(option); }, in_);
    make_state(in_.initial_state);
    make(R::out_axes, out_.out);
    make_state(out_.final_state);
    make(R::out_axes, d_out_.out);
    make_state(d_out_.final_state);
    if (from_.below(8) == 7) {
      offsets_ = {0, from_.below(6), from_.below(6), from_.below(6)};
      in_.sequence_offsets = {from_.below(8) == 7 ? nullptr : offsets_.data(),
                              {1 + from_.below(4)}};
    }
    // enough, nothing that is given, or too little of it, from any byte on
    const int scratch = from_.below(4);
    const int bytes[] = {0, 1 << 16, from_.below(255) * 16};
    memory_of_scratch_.resize(static_cast<std::size_t>(bytes[std::min(scratch, 2)]));
    const int unaligned = memory_of_scratch_.size() < 8 ? 0 : from_.below(8);
    scratch_ = {std::span(memory_of_scratch_).subspan(static_cast<std::size_t>(unaligned))};
    if (!fits_) return;

    if (one_token_) return take_a_step();
    const int size = from_.below(40) - 3;
    with_mode(from_.below(5), size, [&](const auto& mode) { call(mode); });
  }

 private:
  // Of most problems all views have one shape, so that there is an answer.
  void make_extents_agree() {
    using enum gatescan::axis;
    const auto extent = [&](gatescan::axis a) -> index_t& { return extents_[static_cast<int>(a)]; };
    if (extent(group) != 1) extent(group) = extent(head);
    if (extent(key_or_one) != 1) extent(key_or_one) = extent(key);
    if (extent(value_or_one) != 1) extent(value_or_one) = extent(value);
    extent(channel) = extent(group) * extent(value);
    extent(sequence) = extent(batch);
  }
  void choose(bool& option) { option = from_.below(2) == 1; }
  void choose(double& option) {
    const double values[] = {option,
                             0,
                             1,
                             -1,
                             1e-6,
                             1e300,
                             -std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()};
    option = values[from_.below(8)];
  }

  template <class F>
  static void with_mode(int mode, int size, F f) {
    if (mode == 0) f(gatescan::recurrent{});
    if (mode == 1) f(gatescan::automatic{});
    if constexpr (gatescan::chunked::supports<R>)
      if (mode == 2) f(gatescan::chunked{size});
    if constexpr (gatescan::scan::supports<R>)
      if (mode == 3) f(gatescan::scan{size});
    if constexpr (gatescan::attention::supports<R>)
      if (mode == 4) f(gatescan::attention{});
  }
  gatescan::cpu backend() { return {.threads = from_.below(3) - (from_.below(64) == 63)}; }

  template <class Mode>
  void call(const Mode& mode) {
    refused([&] { gatescan::forward(backend(), mode, in_, out_, scratch_); });
    refused([&] { gatescan::backward(backend(), mode, in_, d_out_, d_, scratch_); });
    refused([&] { call_plan(gatescan::plan(backend(), mode, shape())); });
    if constexpr (gatescan::attention_form<R>) draw_map();
  }
  // The shape of the views, most of the time.
  format_problem shape() {
    format_problem s;
    using enum gatescan::axis;
    const auto choose = [&](gatescan::index_t& to, gatescan::axis a) {
      to = from_.below(32) == 31 ? from_.below(9) - 2 : extents_[static_cast<int>(a)];
    };
    choose(s.batch, batch), choose(s.time, time);
    if constexpr (requires { s.heads; }) choose(s.heads, head);
    if constexpr (requires { s.keys; }) choose(s.keys, key);
    if constexpr (requires { s.states; }) choose(s.states, key);
    if constexpr (requires { s.values; }) choose(s.values, value);
    if constexpr (requires { s.groups; }) choose(s.groups, group);
    if constexpr (requires { s.channels; })
      choose(s.channels, R::out_axes.has(channel) ? channel : value);
    if (from_.below(16) == 15) s.sequences = from_.below(5) - 1;
    return s;
  }
  template <class Plan>
  void call_plan(const Plan& plan) {
    std::vector<std::byte> enough(plan.workspace_bytes());
    refused([&] { plan.forward(in_, out_, {enough}); });
    if (enough.size() > 0 && from_.below(4) == 3) enough.pop_back();
    refused([&] { plan.backward(in_, d_out_, d_, {enough}); });
  }
  void draw_map() {
    using enum gatescan::axis;
    const auto extent = [&](gatescan::axis a) { return extents_[static_cast<int>(a)]; };
    gatescan::layout where;
    const index_t heads = R::out_axes.has(channel) ? extent(channel) : extent(head);
    if (R::form.gate == gatescan::gate_span::entry && !R::out_axes.has(channel))
      where = gatescan::layout({extent(batch), heads, extent(value), extent(time), extent(time)});
    else
      where = gatescan::layout({extent(batch), heads, extent(time), extent(time)});
    if (from_.below(16) == 15) where.shape[from_.below(5)] = from_.below(7) - 1;
    if (!fits(where)) return;
    const auto draw = [&](auto map) {
      refused([&] { gatescan::attention_map(backend(), in_, map); });
    };
    float* const re = new_memory();
    if (R::form.number == gatescan::numbers::complex && from_.below(2) == 1)
      draw(gatescan::complex_view<float>(re, new_memory(), where));
    else
      draw(gatescan::view<float>(re, where));
  }
  void take_a_step() {
    const typename R::template token_out<float> out = out_.out;
    refused([&] { gatescan::step(backend(), in_, out_.final_state, out, scratch_); });
    refused([&] {
      gatescan::stepper prepared(backend(), in_, out_.final_state, out);
      for (int i = 0; i < 3; ++i) prepared.step();
    });
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
  float* new_memory() {
    memory_.emplace_back(room, -0.5f);
    return memory_.back().data() + room / 2;
  }
  // A dense view most of the time; else with another extent, stride, rank or pointer.
  template <class View>
  void make(const gatescan::axes& a, View& x, bool may_lack = false) {
    if (may_lack && from_.below(3) == 2) return;
    gatescan::layout where;
    index_t step = 1;
    for (int i = 0; i < a.rank; ++i)
      if (!one_token_ || a.of[i] != gatescan::axis::time)
        where.shape[where.rank++] = extents_[static_cast<int>(a.of[i])];
    for (int i = where.rank - 1; i >= 0; --i) {
      where.stride[i] = step;
      step *= where.shape[i] > 0 ? where.shape[i] : 1;
    }
    const int change = from_.below(32), axis = from_.below(5);
    if (change == 31) where.shape[axis] = from_.below(7) - 1;
    if (change == 30) where.stride[axis] = from_.below(21) - 10;
    if (change == 29) where.rank = axis;
    if (change == 28) where.stride[axis] *= -1;
    if (change == 27) where.stride[axis] = 0;
    if (change == 26) where.well_formed = false;
    fits_ = fits_ && fits(where);
    float* const middle = new_memory();
    float* const begin = change == 25 ? nullptr : middle;
    if constexpr (requires { x.im; })
      x = {begin, from_.below(2) == 0 || begin == nullptr ? nullptr : middle + step, where};
    else
      x = {begin, where};
  }

  choices& from_;
  bool one_token_;
  index_t extents_[16];
  bool fits_ = true;
  std::vector<std::vector<float>> memory_;
  std::vector<std::byte> memory_of_scratch_;
  std::vector<index_t> offsets_;
  gatescan::workspace scratch_;
  inputs in_{};
  typename R::template gradients<float> d_{};
  typename R::template outputs<float> out_{};
  typename R::template output_gradients<float> d_out_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  choices from{data, data + size};
  problem<gatescan::FUZZED>(from).run();
  return 0;
}
