#pragma once
// A block of channels of a diagonal recurrence. The same interface to the driver as a matrix lane.

#include <algorithm>

#include "../../../core/problem.hpp"
#include "../../../modes/schedule.hpp"
#include "../gradients.hpp"
#include "backward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool Complex>
class diagonal_lane {
 public:
  using storage = storage_t<T>;
  using C = state_t<T>;
  using E = element_t<C, Complex>;
  using problem = problem_of<R, T>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;
  using targets = typename R::template fields<gradient_target<C, storage>>;

  static constexpr bool scans = true, adjoint_scans = true;
  static constexpr bool unit_keys = has_unit_keys<R>();
  static constexpr bool simple_output = std::is_base_of_v<plain_output, R>;

  static index_t value_blocks(const sizes& n) {
    const index_t block = diagonal_width<C>(n.keys, n.values);
    return (n.values + block - 1) / block;
  }

  /// Backward works on short runs whatever the mode: their states fit in L1, and few are kept.
  static schedule adapt(schedule plan) {
    constexpr index_t longest_run = 64;
    plan.backward_run = (std::min)(plan.backward_run, longest_run);
    return plan;
  }

  diagonal_lane(arena& scratch, const problem& p, const schedule& plan, bool backward)
      : p_(&p),
        x_(p.x),
        form_(plan.form),
        n_{p.n.keys, diagonal_width<C>(p.n.keys, p.n.values), unit_keys} {
    const index_t tokens = backward ? plan.backward_run : plan.forward_run;
    tiles_ = diagonal_tiles<C, Complex>(scratch, n_, tokens);
    values_ = scratch.take<values_type>(tokens * registers());
    spare_o_ = {scratch, tokens * n_.width};
    spare_state_ = {scratch, n_.state_size()};
    queries_ = {scratch, n_.keys * width};
    index_t operands = 0;
    R::operands([&](const char*, const axes&, presence, const auto&) { ++operands; }, x_);
    packed_ = scratch.take<storage>(operands * n_.state_size());
    if (!backward) return;
    gradients_ = diagonal_gradients<C, Complex>(scratch, n_, tokens);
    spare_ = diagonal_gradients<C, Complex>(scratch, n_, tokens);
    spare_g_ = {scratch, n_.state_size()};
  }

  index_t state_size() const { return n_.state_size() * (Complex ? 2 : 1); }
  index_t summary_size() const { return state_size(); }
  index_t key_pitch() const { return n_.keys; }
  index_t value_pitch() const { return n_.width; }
  index_t first_value() const { return v_; }
  index_t value_count() const { return (std::min)(n_.width, p_->n.values - v_); }
  index_t head() const { return h_; }
  index_t batch() const { return b_; }
  index_t sequence() const { return s_; }

  void seek(index_t sequence, index_t head, index_t block) {
    b_ = p_->batch_of(sequence), s_ = sequence, h_ = head, v_ = block * n_.width;
    index_t n = 0;
    R::operands(
        [&](const char*, const axes&, presence, const auto& all, auto& lane) {
          lane = all.lane(b_, h_, v_);
          storage* place = packed_ + n++ * n_.state_size();
          if (lane.given && lane.time == 0 && lane.im == nullptr && lane.value != 0 &&
              lane.value != 1)
            pack(lane, place);
        },
        p_->x, x_);
  }

  template <class S>
  void load_state(const operand<S>& from, C* state) const {
    fill(state, state_size(), C(0));
    if (!from.given) return;
    const index_t at = from.offset(s_, 0, h_) + v_ * from.value;
    for (index_t i = 0; i < n_.keys; ++i)
      for (index_t j = 0; j < value_count(); ++j) {
        const index_t o = at + i * from.key + j * from.value;
        state[i * n_.width + j] = from.re[o];
        if (Complex && from.im != nullptr) state[n_.state_size() + i * n_.width + j] = from.im[o];
      }
  }
  void store_state(const operand<C>& to, const C* state) const {
    if (!to.given) return;
    const index_t at = to.offset(s_, 0, h_) + v_ * to.value;
    for (index_t i = 0; i < n_.keys; ++i)
      for (index_t j = 0; j < value_count(); ++j) {
        const index_t o = at + i * to.key + j * to.value;
        to.re[o] = state[i * n_.width + j];
        if (Complex && to.im != nullptr) to.im[o] = state[n_.state_size() + i * n_.width + j];
      }
  }
  gradient_tile<C> state_tile(C* state) const {
    return {state, Complex ? state + n_.state_size() : nullptr, 0, n_.width, 1, true};
  }

  void forward_run(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) {
    load(t, count);
    compute(count, in, out);
    write_out(to.out.lane(b_, h_, v_), t, count);
  }
  void advance_run(index_t t, index_t count, const C* in, C* out) {
    load(t, count);
    const auto from = state_planes(in), to = state_planes(out);
    if (form_ == kernel_form::steps)
      return diagonal_run<sequential_states>(tiles_, count, from, to, false);
    diagonal_run<local_states>(tiles_, count, from, to, false);
    if (all_finite(out, 1, state_size(), 0)) return;
    diagonal_run<sequential_states>(tiles_, count, from, spare_state_, false);
    replace(to, spare_state_, n_.state_size());
  }
  template <class Flush>
  void backward_run(const backward_results<R, T>& results, const tiles_of_gradients& d, index_t t,
                    index_t count, const C* in, C* g, Flush&& flush) {
    load(t, count);
    load_output_gradient(results.out.lane(b_, h_, v_), t, count, in);
    adjoint(count, in, g);
    for (index_t first = (count - 1) / block_tokens * block_tokens; first >= 0;
         first -= block_tokens)
      add_gradients(results.out.lane(b_, h_, v_), d, t, first,
                    std::min<index_t>(block_tokens, count - first), flush);
  }
  void retreat_run(const backward_results<R, T>& results, index_t t, index_t count, const C* in,
                   C* g) {
    load(t, count);
    load_output_gradient(results.out.lane(b_, h_, v_), t, count, in);
    diagonal_retreat(tiles_, count, state_planes(g), gradients_.d_o);
  }

  void clear_summary(C* product) const {
    fill(product, state_size(), C(0));
    fill(product, n_.state_size(), C(1));
  }
  void extend_summary(C* product, index_t count) const {
    const auto p = state_planes(product);
    for (index_t i = 0; i < n_.state_size(); i += width) {
      E sum = p.load(i);
      for (index_t t = 0; t < count; ++t) sum = sum * tiles_.a.load(t * n_.state_size() + i);
      p.store(i, sum);
    }
  }
  bool apply_summary(const C* product, const C* local, C* state) const {
    return apply(product, local, state, [](E p) { return p; });
  }
  bool apply_summary_adjoint(const C* product, const C* local, C* g) const {
    return apply(product, local, g, [](E p) { return conj(p); });
  }

 private:
  static constexpr index_t width = simd::lanes<C>;
  using operands_type = typename R::template fields<operand<const storage>>;
  using value_cursor = cursor<C, Complex, along::values>;
  using register_type = simd::pack<C>;
  using values_type =
      decltype(R::values(typename R::template fields<operand<const storage>>{}, value_cursor{}));
  using output_type = decltype(R::output(typename R::template fields<operand<const storage>>{},
                                         value_cursor{}, values_type{}, E{}));

  index_t registers() const { return n_.width / width; }
  planes<C, Complex> state_planes(const C* state) const {
    return {const_cast<C*>(state), n_.state_size()};
  }

  // What does not change along time is read for every token: make it dense once.
  void pack(operand<const storage>& x, storage* place) const {
    const index_t keys = x.key != 0 ? n_.keys : 1;
    for (index_t i = 0; i < keys; ++i)
      for (index_t j = 0; j < value_count(); ++j) {
        const index_t from = i * x.key + j * x.value;
        place[i * n_.width + j] = x.re[from];
      }
    x.re = place, x.value = 1, x.key = x.key != 0 ? n_.width : 0;
  }

  value_cursor at(index_t t, index_t w, index_t key = 0, index_t tile_t = 0) const {
    const index_t rest = p_->n.values - v_ - w;
    return {t, key, w, static_cast<int>(std::clamp<index_t>(rest, 0, width)), tile_t};
  }

  static register_type masked(register_type x, int count, C rest) {
    return simd::first_lanes(x, count, register_type(rest));
  }
  static cplx<register_type> masked(cplx<register_type> x, int count, C rest) {
    return {masked(x.re, count, rest), masked(x.im, count, C(0))};
  }

  template <class F>
  bool apply(const C* product, const C* local, C* state, F&& conjugated) const {
    const auto p = state_planes(product), l = state_planes(local), s = state_planes(state);
    for (index_t i = 0; i < n_.state_size(); i += width)
      s.store(i, fma(conjugated(p.load(i)), s.load(i), l.load(i)));
    return all_finite(state, 1, state_size(), 0);
  }

  void load(index_t first, index_t count) {
    constexpr index_t longest = 64;  // tokens ahead that the caches can hold
    if (const index_t next = first + count; count <= longest)
      R::operands(
          [&](const char*, const axes&, presence, const auto& x) {
            prefetch_rows(x, next, (std::min)(next + count, p_->n.time), n_.keys, value_count());
          },
          x_);
    const auto& x = x_;
    for (index_t t = 0; t < count; ++t)
      for (index_t w = 0; w < n_.width; w += width) {
        const value_cursor here = at(first + t, w);
        values_type value = R::values(x, here);
        const bool whole = here.count == width;
        if (!whole) value.v = masked(value.v, here.count, C(0));
        values_[t * registers() + w / width] = value;
        tiles_.v.store(t * n_.width + w, value.v);
        for (index_t i = 0; i < n_.keys; ++i) {
          const value_cursor entry = at(first + t, w, i);
          E a = R::gate(x, entry, value);
          if (!whole) a = masked(a, here.count, C(1));
          tiles_.a.store(tiles_.at(t, i, w), a);
          if constexpr (!unit_keys) {
            const auto key = R::keys(x, entry);
            tiles_.q.store(tiles_.at(t, i, w),
                           whole ? E(key.q) : masked(E(key.q), here.count, C(0)));
            tiles_.k.store(tiles_.at(t, i, w),
                           whole ? E(key.k) : masked(E(key.k), here.count, C(0)));
          }
        }
      }
  }

  void compute(index_t count, const C* in, C* out) {
    const auto from = state_planes(in), to = state_planes(out);
    if (form_ == kernel_form::steps)
      return diagonal_run<sequential_states>(tiles_, count, from, to, true);
    diagonal_run<local_states>(tiles_, count, from, to, form_ != kernel_form::attention);
    if (form_ == kernel_form::attention) diagonal_attention(tiles_, count, from, queries_);
    const index_t outputs = count * n_.width;
    if (finite(tiles_.o, outputs) && finite(to, n_.state_size())) return;
    diagonal_tiles<C, Complex> exact =
        tiles_;  // Inf or NaN: token by token, where a reset is exact
    exact.o = spare_o_;
    diagonal_run<sequential_states>(exact, count, from, spare_state_, true);
    replace(tiles_.o, spare_o_, outputs);
    replace(to, spare_state_, n_.state_size());
  }
  void adjoint(index_t count, const C* in, C* g) {
    const auto from = state_planes(in), to = state_planes(g);
    if (form_ == kernel_form::steps)
      return diagonal_run_backward<sequential_states>(tiles_, count, from, to, gradients_,
                                                      spare_state_);
    copy_numbers(spare_g_.re, g, n_.state_size());
    if (Complex) copy_numbers(spare_g_.im, g + n_.state_size(), n_.state_size());
    diagonal_run_backward<local_states>(tiles_, count, from, to, gradients_, spare_state_);
    const index_t entries = count * n_.state_size(), rows = count * n_.width;
    const auto& d = gradients_;
    if (finite(d.da, entries) && finite(d.dv, rows) && finite(to, n_.state_size()) &&
        (unit_keys || (finite(d.dq, entries) && finite(d.dk, entries))))
      return;
    spare_.d_o = d.d_o;
    diagonal_run_backward<sequential_states>(tiles_, count, from, spare_g_, spare_, spare_state_);
    replace(d.da, spare_.da, entries);
    replace(d.dv, spare_.dv, rows);
    replace(to, spare_g_, n_.state_size());
    if constexpr (!unit_keys) {
      replace(d.dq, spare_.dq, entries);
      replace(d.dk, spare_.dk, entries);
    }
  }
  static bool finite(planes<C, Complex> x, index_t count) {
    return all_finite(x.re, 1, count, 0) && (!Complex || all_finite(x.im, 1, count, 0));
  }
  static void replace(planes<C, Complex> x, planes<C, Complex> y, index_t count) {
    if constexpr (Complex) {
      for (index_t i = 0; i < count; ++i)  // a number is finite when both of its parts are
        if (!(x.re[i] * C(0) == C(0) && x.im[i] * C(0) == C(0)))
          x.re[i] = y.re[i], x.im[i] = y.im[i];
    } else {
      replace_non_finite(x.re, y.re, count);
    }
  }

  void write_out(const operand<storage>& out, index_t first, index_t count) const {
    if (!out.given) return;
    for (index_t t = 0; t < count; ++t)
      for (index_t w = 0; w < value_count(); w += width) {
        const value_cursor here = at(first + t, w);
        const auto y = R::output(x_, here, values_[t * registers() + w / width],
                                 tiles_.o.load(t * n_.width + w));
        const index_t o = here.t * out.time + here.value * out.value;
        if constexpr (is_complex<output_type>::value) {
          simd::store(out.re + o, out.value, here.count, y.re);
          if (out.im != nullptr) simd::store(out.im + o, out.value, here.count, y.im);
        } else {
          simd::store(out.re + o, out.value, here.count, y);
        }
      }
  }

  output_type output_gradient(const operand<const storage>& d_out, const value_cursor& here) const {
    if constexpr (is_complex<output_type>::value) {
      return d_out.given ? masked(here.element(d_out), here.count, C(0)) : constant<true>(C(0));
    } else {
      return d_out.given ? masked(here(d_out), here.count, C(0)) : register_type(0);
    }
  }
  E loaded_output(index_t t, index_t w) const {
    return simple_output ? constant<Complex>(C(0)) : tiles_.o.load(t * n_.width + w);
  }
  void load_output_gradient(const operand<const storage>& d_out, index_t first, index_t count,
                            const C* in) {
    if (!simple_output) {  // o of the forward pass; the state after the run is not needed
      const auto from = state_planes(in);
      if (form_ == kernel_form::steps) {
        diagonal_run<sequential_states>(tiles_, count, from, spare_state_, true);
      } else {
        diagonal_run<local_states>(tiles_, count, from, spare_state_, true);
        if (!finite(tiles_.o, count * n_.width)) {
          diagonal_tiles<C, Complex> exact = tiles_;
          exact.o = spare_o_;
          diagonal_run<sequential_states>(exact, count, from, spare_state_, true);
          replace(tiles_.o, spare_o_, count * n_.width);
        }
      }
    }
    for (index_t t = 0; t < count; ++t)
      for (index_t w = 0; w < n_.width; w += width) {
        const value_cursor here = at(first + t, w);
        values_type ignored{};
        const E g =
            R::output_adjoint(x_, tiles_of_gradients{}, here, values_[t * registers() + w / width],
                              ignored, loaded_output(t, w), output_gradient(d_out, here));
        gradients_.d_o.store(t * n_.width + w, masked(g, here.count, C(0)));
      }
  }
  template <class Flush>
  void add_gradients(const operand<const storage>& d_out, const tiles_of_gradients& d, index_t run,
                     index_t first, index_t count, Flush&& flush) {
    const auto& x = x_;
    for (index_t t = first; t < first + count; ++t)
      for (index_t w = 0; w < n_.width; w += width) {
        const value_cursor here = at(run + t, w, 0, t - first);
        if (here.count == 0) continue;
        const values_type value = values_[t * registers() + w / width];
        values_type d_value{};
        R::output_adjoint(x, d, here, value, d_value, loaded_output(t, w),
                          output_gradient(d_out, here));
        for (index_t i = 0; i < n_.keys; ++i) {
          const value_cursor entry = at(run + t, w, i, t - first);
          const index_t e = tiles_.at(t, i, w);
          R::gate_adjoint(x, d, entry, value, d_value, tiles_.a.load(e), gradients_.da.load(e));
          if constexpr (!unit_keys)
            R::keys_adjoint(x, d, entry,
                            keys_of<E>{gradients_.dq.load(e), gradients_.dk.load(e), E{}});
        }
        d_value.v = d_value.v + gradients_.dv.load(t * n_.width + w);
        R::values_adjoint(x, d, here, value, d_value);
      }
    flush(run + first, count);
  }

  const problem* p_;
  operands_type x_;  // of this lane
  storage* packed_ = nullptr;
  kernel_form form_;
  diagonal_shape n_;
  diagonal_tiles<C, Complex> tiles_{};
  diagonal_gradients<C, Complex> gradients_{}, spare_{};
  planes<C, Complex> spare_o_{}, spare_state_{}, spare_g_{}, queries_{};
  values_type* values_ = nullptr;
  index_t b_ = 0, s_ = 0, h_ = 0, v_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
