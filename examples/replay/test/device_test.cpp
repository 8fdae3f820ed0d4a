// replay's path through a device's memory, on an emulated device, against its path on the host.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "device_calls/test/emulated_device.hpp"
#include "replay.hpp"

namespace {

using replay::safetensors::shape_type;

template <class T>
std::string dtype() {
  return device_calls::format_name<T>();
}

// A file being made, of numbers in [low, high).
template <class T>
class file {
 public:
  void add(const std::string& name, const shape_type& shape, double low = -1, double high = 1) {
    std::vector<T> values(static_cast<std::size_t>(replay::safetensors::checked_size(shape, 1)));
    std::uniform_real_distribution<double> even(low, high);
    for (T& x : values) x = gatescan::convert<T>(even(random_));
    add_values(name, dtype<T>(), shape, values);
  }
  void add_offsets(const std::vector<std::int64_t>& offsets) {
    add_values("sequence_offsets", "I64", {std::ssize(offsets)}, offsets);
  }
  replay::safetensors::entries entries() {
    bytes_ = replay::safetensors::serialize(tensors_);
    return replay::safetensors::parse(bytes_);
  }

 private:
  template <class E>
  void add_values(const std::string& name, const std::string& dtype, const shape_type& shape,
                  const std::vector<E>& values) {
    const auto* first = reinterpret_cast<const std::byte*>(values.data());
    tensors_.push_back({name, dtype, shape, {first, first + values.size() * sizeof(E)}});
  }

  std::mt19937_64 random_{7};
  replay::tensors tensors_;
  std::vector<std::byte> bytes_;
};

// Grouped heads and an initial state; a batch of two, or three packed sequences, one of them empty.
template <class T>
file<T> gla_file(bool packed) {
  file<T> f;
  const std::int64_t B = packed ? 1 : 2, n = packed ? 3 : 2, L = 21, H = 4, K = 3, V = 5;
  f.add("q", {B, L, H, K});
  f.add("k", {B, L, 2, K});
  f.add("v", {B, L, H, V});
  f.add("log_decay", {B, L, H, 1}, -1, 0);
  f.add("initial_state", {n, H, K, V});
  f.add("d_out", {B, L, H, V});
  f.add("d_final_state", {n, H, K, V});
  if (packed) f.add_offsets({0, 8, 8, L});
  return f;
}

template <class T>
file<T> selective_scan_file(bool packed) {
  file<T> f;
  const std::int64_t B = packed ? 1 : 2, n = packed ? 3 : 2, L = 21, D = 6, N = 4;
  f.add("u", {B, L, D});
  f.add("delta", {B, L, D}, -2, 1);
  f.add("A", {D, N}, -2, 0);
  f.add("B", {B, L, N});
  f.add("C", {B, L, 2, N});
  f.add("D", {D});
  f.add("z", {B, L, D});
  f.add("delta_bias", {D});
  f.add("initial_state", {n, D, N});
  f.add("d_out", {B, L, D});
  if (packed) f.add_offsets({0, 8, 8, L});
  return f;
}

// A state of several parts.
template <class T>
file<T> mlstm_file(bool packed) {
  file<T> f;
  const std::int64_t B = packed ? 1 : 2, n = packed ? 3 : 2, L = 21, H = 4, K = 3, V = 5;
  f.add("q", {B, L, H, K});
  f.add("k", {B, L, 2, K});
  f.add("v", {B, L, H, V});
  f.add("i", {B, L, H}, -3, 3);
  f.add("f", {B, L, H}, -3, 3);
  f.add("initial_state.C", {n, H, K, V});
  f.add("initial_state.n", {n, H, K});
  f.add("initial_state.m", {n, H});
  f.add("d_out", {B, L, H, V});
  f.add("d_final_state.C", {n, H, K, V});
  f.add("d_final_state.n", {n, H, K});
  if (packed) f.add_offsets({0, 8, 8, L});
  return f;
}

device_calls::emulated_device make_device() {
  device_calls::emulated_device d;
  d.add_kernels<gatescan::gla, float, gatescan::bf16>();
  d.add_kernels<gatescan::selective_scan, float, gatescan::wide<float>>();
  d.add_kernels<gatescan::mlstm, float>();
  return d;
}

template <class T>
std::vector<double> numbers(const std::vector<std::byte>& bytes) {
  std::vector<double> all;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    T x;
    std::memcpy(&x, bytes.data() + at, sizeof x);
    all.push_back(gatescan::convert<double>(x));
  }
  return all;
}

template <class T>
void expect_the_hosts_results(const std::string& recurrence, file<T> f, replay::options asked,
                              double tolerance) {
  asked.recurrence = recurrence;
  const auto entries = f.entries();
  auto device = make_device();
  for (const char* mode : {"recurrent", "scan", "chunked", "attention"})
    for (const bool grad : {false, true}) {
      asked.mode = mode, asked.grad = grad, asked.chunk = 5;
      SCOPED_TRACE(std::string(mode) + (grad ? " with gradients" : ""));
      const auto want = replay::run(asked, entries, nullptr);
      const auto got = replay::run(asked, entries, &device);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(got[i].name, want[i].name);
        EXPECT_EQ(got[i].dtype, want[i].dtype);
        ASSERT_EQ(got[i].shape, want[i].shape);
        const auto g = numbers<T>(got[i].bytes), w = numbers<T>(want[i].bytes);
        double largest = 0, size = 0;
        for (std::size_t j = 0; j < w.size(); ++j) {
          const double d = std::abs(g[j] - w[j]);
          largest = d <= largest ? largest : d;  // NaN is a difference too
          size = std::max(size, std::abs(w[j]));
        }
        EXPECT_GT(size, 0) << want[i].name;
        EXPECT_LE(largest, tolerance * size) << want[i].name;
      }
    }
}

TEST(replay_on_a_device, gla) {
  for (const bool packed : {false, true})
    expect_the_hosts_results("gla", gla_file<float>(packed), {}, 1e-5);
}

TEST(replay_on_a_device, gla_in_bf16) {
  expect_the_hosts_results("gla", gla_file<gatescan::bf16>(true), {}, 1e-2);
}

TEST(replay_on_a_device, selective_scan) {
  for (const bool packed : {false, true})
    for (const bool softplus : {false, true}) {
      replay::options asked;
      if (softplus) asked.switches["softplus"] = 1;
      expect_the_hosts_results("selective_scan", selective_scan_file<float>(packed), asked, 1e-5);
    }
}

TEST(replay_on_a_device, mlstm) {
  for (const bool packed : {false, true})
    expect_the_hosts_results("mlstm", mlstm_file<float>(packed), {}, 1e-5);
}

TEST(replay_on_a_device, wide_selective_scan) {
  replay::options asked;
  asked.wide = true;
  asked.switches["softplus"] = 1;
  expect_the_hosts_results("selective_scan", selective_scan_file<float>(false), asked, 1e-6);
}

template <class F>
std::string words_of(const F& f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(replay_on_a_device, refuses_offsets_that_a_device_would_not_check) {
  for (const auto& [offsets, words] :
       {std::pair{std::vector<std::int64_t>{0, 5, 3, 21}, "has 3 at place 2"},
        std::pair{std::vector<std::int64_t>{1, 5, 8, 21}, "has 1 at place 0"},
        std::pair{std::vector<std::int64_t>{0, 5, 8, 22}, "ends at 22"}}) {
    auto f = gla_file<float>(true);
    auto entries = f.entries();
    const auto* first = reinterpret_cast<const std::byte*>(offsets.data());
    entries.at("sequence_offsets").bytes = {first, offsets.size() * sizeof offsets[0]};
    auto device = make_device();
    replay::options asked;
    asked.recurrence = "gla", asked.mode = "chunked", asked.grad = true;
    EXPECT_NE(words_of([&] { replay::run(asked, entries, &device); }).find(words),
              std::string::npos);
    EXPECT_EQ(device.allocated(), 0);
  }
}

TEST(replay_on_a_device, refuses_formats_that_it_was_built_without) {
  auto f = gla_file<gatescan::half>(false);
  const auto entries = f.entries();
  auto device = make_device();
  replay::options asked;
  asked.recurrence = "gla", asked.mode = "scan", asked.grad = true;
  EXPECT_EQ(words_of([&] { replay::run(asked, entries, &device); }), "no kernels of gla in F16");
}

}  // namespace
