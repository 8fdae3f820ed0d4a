// One block of an emulated GPU: its threads as fibers, its shared memory, its barriers.
#pragma once

#include <array>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <gatescan/backends/cuda/toolbox.hpp>
#include <gatescan/core/scalar.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace support {

using gatescan::index_t;
using gatescan::detail::bf16_pair, gatescan::detail::tf32_number;

struct emulation_error : std::logic_error {
  using std::logic_error::logic_error;
};

namespace emulation {

// Where a thread stands, in barriers that it has passed. Small: there is a history of them for
// every four bytes of shared memory.
struct moment {
  std::int16_t thread = -1;
  std::uint16_t warp_barriers = 0;
  int block_barriers = -1;
  friend bool operator==(const moment&, const moment&) = default;
};

class machine;

// A number in shared memory; reads and writes are noted.
template <class T>
class shared_number {
 public:
  shared_number(machine& m, T* at) : machine_(m), at_(at) {}
  operator T() const;
  const shared_number& operator=(T x) const;
  const shared_number& operator=(const shared_number& x) const { return *this = static_cast<T>(x); }
  const shared_number& operator+=(T x) const { return *this = static_cast<T>(*this) + x; }
  const shared_number& operator*=(T x) const { return *this = static_cast<T>(*this) * x; }

 private:
  machine& machine_;
  T* at_;
};

template <class T>
class shared_array {
 public:
  shared_array(machine& m, T* first, index_t count) : machine_(&m), first_(first), count_(count) {}
  shared_number<T> operator[](index_t i) const {
    if (i < 0 || i >= count_)
      throw emulation_error("shared memory: number " + std::to_string(i) + " of an array of " +
                            std::to_string(count_));
    return {*machine_, first_ + i};
  }
  shared_array operator+(index_t i) const { return {*machine_, first_ + i, count_ - i}; }

 private:
  machine* machine_;
  T* first_;
  index_t count_;
};

// One block's threads, shared memory and barriers.
class machine {
 public:
  // An exchange of a warp (shuffle, matrix product) or of a block (sum, scan) brings its threads
  // together, but what they wrote to shared memory is not ordered by it.
  enum class waits { no, block, warp, exchange, block_exchange, done };

  machine(int threads, int shared_bytes)
      : shared_(static_cast<std::size_t>(shared_bytes) / 16 + 1),
        touched_(shared_.size() * 4),
        shared_bytes_(shared_bytes),
        threads_(static_cast<std::size_t>(threads)) {}

  template <class F>
  void run(F f) {
    poison();
    for (auto& t : touched_) t = {};
    failure_ = nullptr;
    for (std::size_t i = 0; i < threads_.size(); ++i) start(i, f);
    for (std::size_t left = threads_.size(); left > 0;) {
      bool moved = false;
      for (std::size_t i = 0; i < threads_.size(); ++i) {
        if (threads_[i].waits != waits::no) continue;
        moved = true;
        resume(i);
        if (threads_[i].waits == waits::done) --left;
      }
      if (!moved) release();
    }
    if (failure_) std::rethrow_exception(failure_);
  }

  int current() const { return current_; }
  int threads() const { return static_cast<int>(threads_.size()); }

  void wait(waits kind) {
    thread& t = threads_[static_cast<std::size_t>(current_)];
    t.waits = kind;
    leave(t);
    if (failure_) throw emulation_error("another thread of the block failed");
  }

  template <class T>
  shared_array<T> shared(std::size_t& used, index_t count) {
    const std::size_t here = used;
    used += static_cast<std::size_t>(gatescan::detail::shared_size<T>(count));
    if (used > static_cast<std::size_t>(shared_bytes_))
      throw emulation_error("shared memory: the program said " + std::to_string(shared_bytes_) +
                            " bytes, the block asks for " + std::to_string(used));
    return {*this, reinterpret_cast<T*>(reinterpret_cast<std::byte*>(shared_.data()) + here),
            count};
  }

  // an exchange slot a thread: shuffles and votes
  std::uint64_t& slot(int of) { return threads_[static_cast<std::size_t>(of)].slot; }

  // and the bits that a warp's matrix product takes of one: a, then b
  using matrix_fragments = std::array<std::uint32_t, 6>;
  matrix_fragments& fragments(int of) { return threads_[static_cast<std::size_t>(of)].fragments; }

  void note(const void* at, bool write) {
    const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(at) -
                                                 reinterpret_cast<std::byte*>(shared_.data()));
    word& w = touched_[offset / 4];
    const moment now = here();
    if (!write && w.readers[1] == now) return;
    if (races(w.writer, now)) race(offset, w.writer, now, write ? "write" : "read", "write");
    if (write) {
      for (const moment& reader : w.readers)
        if (races(reader, now)) race(offset, reader, now, "write", "read");
      w.writer = now;
      w.readers[0] = w.readers[1] = {};
    } else {  // the first reader since the write, and the last one
      if (w.readers[0].thread < 0 || !same_time(w.readers[0], now)) w.readers[0] = now;
      w.readers[1] = now;
    }
  }

 private:
  struct word {
    moment writer, readers[2];
  };
  struct alignas(16) line {
    std::byte bytes[16];
  };
  struct thread {
    boost::context::fiber fiber, back;
    emulation::machine::waits waits = waits::no;
    int block_barriers = 0, warp_barriers = 0;
    std::uint64_t slot = 0;
    matrix_fragments fragments{};
    void* fake_stack = nullptr;
    const void* stack_bottom = nullptr;
    std::size_t stack_size = 0;
  };

  // Stacks are kept from block to block.
  class pooled_stack {
   public:
    boost::context::stack_context allocate() {
      auto& free = pool();
      if (free.empty()) return boost::context::fixedsize_stack(stack_bytes).allocate();
      const auto s = free.back();
      free.pop_back();
      return s;
    }
    void deallocate(boost::context::stack_context& s) noexcept { pool().push_back(s); }

   private:
    static constexpr std::size_t stack_bytes = 128 * 1024;
    struct stacks : std::vector<boost::context::stack_context> {
      stacks() = default;
      stacks(const stacks&) = delete;
      stacks& operator=(const stacks&) = delete;
      ~stacks() {
        for (auto& s : *this) boost::context::fixedsize_stack(stack_bytes).deallocate(s);
      }
    };
    static stacks& pool() {
      static thread_local stacks all;
      return all;
    }
  };

  template <class F>
  void start(std::size_t i, F& f) {
    thread& t = threads_[i];
    t.waits = waits::no;
    t.block_barriers = t.warp_barriers = 0;
    pooled_stack pool;
    auto context = pool.allocate();
    t.stack_size = context.size;
    t.stack_bottom = static_cast<std::byte*>(context.sp) - context.size;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(t.stack_bottom, t.stack_size);  // the last fiber's frames
#endif
    t.fiber = boost::context::fiber(std::allocator_arg,
                                    boost::context::preallocated(context.sp, context.size, context),
                                    pool, [this, &t, &f](boost::context::fiber&& back) {
                                      arrive(t);
                                      t.back = std::move(back);
                                      try {
                                        f(static_cast<int>(&t - threads_.data()));
                                      } catch (...) {
                                        fail(std::current_exception());
                                      }
                                      t.waits = waits::done;
                                      finish(t);
                                      return std::move(t.back);
                                    });
  }

  // Switching stacks, with word to AddressSanitizer.
#if defined(__SANITIZE_ADDRESS__)
  void resume(std::size_t i) {
    current_ = static_cast<int>(i);
    thread& t = threads_[i];
    void* own = nullptr;
    __sanitizer_start_switch_fiber(&own, t.stack_bottom, t.stack_size);
    t.fiber = std::move(t.fiber).resume();
    __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
  }
  void leave(thread& t) {
    __sanitizer_start_switch_fiber(&t.fake_stack, main_bottom_, main_size_);
    t.back = std::move(t.back).resume();
    __sanitizer_finish_switch_fiber(t.fake_stack, &main_bottom_, &main_size_);
  }
  void arrive(thread&) { __sanitizer_finish_switch_fiber(nullptr, &main_bottom_, &main_size_); }
  void finish(thread&) { __sanitizer_start_switch_fiber(nullptr, main_bottom_, main_size_); }
#else
  void resume(std::size_t i) {
    current_ = static_cast<int>(i);
    threads_[i].fiber = std::move(threads_[i].fiber).resume();
  }
  void leave(thread& t) { t.back = std::move(t.back).resume(); }
  void arrive(thread&) {}
  void finish(thread&) {}
#endif

  // Everyone waits: lets those go whose companions have all come.
  void release() {
    bool moved = false;
    const std::size_t n = threads_.size();
    for (std::size_t first = 0; first < n; first += gatescan::detail::warp_threads) {
      const std::size_t last = std::min(first + gatescan::detail::warp_threads, n);
      const bool barrier = all_wait(first, last, waits::warp);
      if (!barrier && !all_wait(first, last, waits::exchange)) continue;
      for (std::size_t i = first; i < last; ++i) {
        threads_[i].waits = waits::no;
        if (barrier) ++threads_[i].warp_barriers;
      }
      moved = true;
    }
    const bool barrier = all_wait(0, n, waits::block);
    if (!moved && (barrier || all_wait(0, n, waits::block_exchange))) {
      for (thread& t : threads_) {
        t.waits = waits::no;
        if (barrier) ++t.block_barriers;
      }
      moved = true;
    }
    if (moved) return;
    // Some have ended, or wait for something else: let all end.
    fail(std::make_exception_ptr(emulation_error(
        "threads of a block part ways: some wait at a barrier that others do not reach")));
    for (thread& t : threads_)
      if (t.waits != waits::done) t.waits = waits::no;
  }
  void fail(std::exception_ptr what) {
    if (!failure_) failure_ = std::move(what);
  }
  bool all_wait(std::size_t first, std::size_t last, waits kind) const {
    for (std::size_t i = first; i < last; ++i)
      if (threads_[i].waits != kind) return false;
    return true;
  }

  [[gnu::always_inline]] moment here() const {
    const thread& t = threads_[static_cast<std::size_t>(current_)];
    return {static_cast<std::int16_t>(current_), static_cast<std::uint16_t>(t.warp_barriers),
            t.block_barriers};
  }
  [[gnu::always_inline]] static bool same_time(const moment& a, const moment& b) {
    return a.block_barriers == b.block_barriers && a.warp_barriers == b.warp_barriers &&
           a.thread / gatescan::detail::warp_threads == b.thread / gatescan::detail::warp_threads;
  }
  [[gnu::always_inline]] static bool races(const moment& before, const moment& now) {
    if (before.thread < 0 || before.thread == now.thread) return false;
    if (before.block_barriers != now.block_barriers) return false;
    const int warp = gatescan::detail::warp_threads;
    return before.thread / warp != now.thread / warp || before.warp_barriers == now.warp_barriers;
  }
  [[noreturn]] static void race(std::size_t offset, const moment& a, const moment& b,
                                const char* did, const char* other) {
    throw emulation_error("shared memory, byte " + std::to_string(offset) + ": a " + did +
                          " by thread " + std::to_string(b.thread) + " and a " + other +
                          " by thread " + std::to_string(a.thread) + " without a barrier between");
  }
  void poison() { std::memset(shared_.data(), 0xff, shared_.size() * sizeof(line)); }

  std::vector<line> shared_;
  std::vector<word> touched_;
  int shared_bytes_;
  std::vector<thread> threads_;
  int current_ = 0;
  std::exception_ptr failure_;
#if defined(__SANITIZE_ADDRESS__)
  const void* main_bottom_ = nullptr;
  std::size_t main_size_ = 0;
#endif
};

template <class T>
shared_number<T>::operator T() const {
  for (std::size_t n = 0; n < sizeof(T); n += 4)
    machine_.note(reinterpret_cast<const std::byte*>(at_) + n, false);
  return *at_;
}
template <class T>
const shared_number<T>& shared_number<T>::operator=(T x) const {
  for (std::size_t n = 0; n < sizeof(T); n += 4)
    machine_.note(reinterpret_cast<const std::byte*>(at_) + n, true);
  *at_ = x;
  return *this;
}

}  // namespace emulation
}  // namespace support
