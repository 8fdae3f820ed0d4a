#include "staged_call.hpp"

#include <cstring>

namespace device_calls {
namespace {

std::int64_t count(const plain_view& x) {
  std::int64_t n = x.rank > 0 ? 1 : 0;
  for (int i = 0; i < x.rank; ++i) n *= x.shape[i];
  return n;
}

// Calls f(place in the view, place among dense bytes, bytes) for every run of its last axis.
template <class F>
void for_each_run(const plain_view& x, const F& f) {
  const int last = x.rank - 1;
  const std::int64_t rows = x.shape[last] > 0 ? count(x) / x.shape[last] : 0;
  const bool dense = x.stride[last] == 1;
  const std::int64_t runs = dense ? 1 : x.shape[last], length = dense ? x.shape[last] : 1;
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t place = 0, rest = row;
    for (int i = last - 1; i >= 0; --i) {
      place += rest % x.shape[i] * x.stride[i];
      rest /= x.shape[i];
    }
    for (std::int64_t run = 0; run < runs; ++run)
      f((place + run * x.stride[last]) * x.item, (row * x.shape[last] + run) * x.item,
        static_cast<std::size_t>(length * x.item));
  }
}

}  // namespace

staged_call::staged_call(device& where, const std::string& recurrence, const std::string& format,
                         const call& like)
    : host(like), device_(where), computation_(where.find(recurrence, format)), there_(like) {
  scratch_bytes_ = computation_.workspace_bytes(like);
  scratch_ = device_.allocate(static_cast<std::int64_t>(scratch_bytes_));
}

// The planes come in the same order in every run, so the n-th is always the same operand's.
staged_call::plane& staged_call::room(std::int64_t bytes) {
  if (used_ == planes_->size()) planes_->emplace_back();
  plane& p = (*planes_)[used_++];
  if (p.memory == nullptr || p.bytes < bytes) {
    p.memory.reset();
    p = {device_.allocate(bytes), bytes};
  }
  return p;
}

plain_view staged_call::on_device(const plain_view& x, bool read) {
  plain_view there = x;
  if (x.rank == 0) return there;
  std::int64_t step = 1;
  for (int i = x.rank - 1; i >= 0; --i) there.stride[i] = step, step *= x.shape[i];
  const std::int64_t bytes = count(x) * x.item;
  const auto copy = [&](const void* from) -> void* {
    if (from == nullptr) return nullptr;
    const plane& p = room(bytes);
    if (!read) return p.memory.get();
    packed_.resize(static_cast<std::size_t>(bytes));
    for_each_run(x, [&](std::int64_t at, std::int64_t dense, std::size_t size) {
      std::memcpy(packed_.data() + dense, static_cast<const std::byte*>(from) + at, size);
    });
    device_.write(p.memory.get(), packed_.data(), bytes);
    return p.memory.get();
  };
  there.re = copy(x.re);
  there.im = copy(x.im);
  return there;
}

plain_view staged_call::result_of(const plain_view& x) {
  for (int i = 0; i < x.rank; ++i)
    if (x.shape[i] > 1 && x.stride[i] == 0)
      throw device_error("a result of stride 0 cannot be copied back");
  const plain_view there = on_device(x, false);
  if (x.rank > 0) results_.push_back({&x, there});
  return there;
}

void staged_call::fetch(const void* from, void* to, const plain_view& x) {
  if (to == nullptr) return;
  packed_.resize(static_cast<std::size_t>(count(x) * x.item));
  device_.read(packed_.data(), from, count(x) * x.item);
  for_each_run(x, [&](std::int64_t at, std::int64_t dense, std::size_t size) {
    std::memcpy(static_cast<std::byte*>(to) + at, packed_.data() + dense, size);
  });
}

void staged_call::run() {
  const bool forward = host.gradients.empty();
  planes_ = forward ? &forward_ : &backward_;
  used_ = 0;
  results_.clear();
  there_.options = host.options;
  there_.operands.clear(), there_.gradients.clear();
  there_.initial_state.clear(), there_.final_state.clear(), there_.d_initial_state.clear();
  for (const plain_view& x : host.operands) there_.operands.push_back(on_device(x, true));
  for (const plain_view& x : host.initial_state) there_.initial_state.push_back(on_device(x, true));
  there_.sequence_offsets = on_device(host.sequence_offsets, true);
  there_.out = forward ? result_of(host.out) : on_device(host.out, true);
  for (const plain_view& x : host.final_state)
    there_.final_state.push_back(forward ? result_of(x) : on_device(x, true));
  for (const plain_view& x : host.gradients) there_.gradients.push_back(result_of(x));
  if (!forward)
    for (const plain_view& x : host.d_initial_state) there_.d_initial_state.push_back(result_of(x));

  computation_.run(there_, device_.stream(),
                   {static_cast<std::byte*>(scratch_.get()), scratch_bytes_});
  for (const result& r : results_) {
    fetch(r.from.re, r.to->re, *r.to);
    fetch(r.from.im, r.to->im, *r.to);
  }
}

}  // namespace device_calls
