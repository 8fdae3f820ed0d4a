// The widest number of the oracles: the compiler's type of 113 bits, with what the oracles of real
// recurrences call. Functions are series, so that no library is needed.
#pragma once

namespace support {

class quad {
 public:
  quad() = default;
  quad(int x) : v_(x) {}
  quad(double x) : v_(x) {}
  explicit operator double() const { return static_cast<double>(v_); }

  friend quad operator+(quad x, quad y) { return of(x.v_ + y.v_); }
  friend quad operator-(quad x, quad y) { return of(x.v_ - y.v_); }
  friend quad operator-(quad x) { return of(-x.v_); }
  friend quad operator*(quad x, quad y) { return of(x.v_ * y.v_); }
  friend quad operator/(quad x, quad y) { return of(x.v_ / y.v_); }
  friend bool operator==(quad x, quad y) { return x.v_ == y.v_; }
  friend bool operator<(quad x, quad y) { return x.v_ < y.v_; }
  quad& operator+=(quad y) { return *this = *this + y; }

  // e^x = (e^(x / 2^12))^(2^12), of |x| < 2000; 0 at -inf. What squaring adds up is below 1e-29.
  friend quad exp(quad x) {
    if (x < quad(-2000)) return 0;
    constexpr int halvings = 12;
    const number small = x.v_ / (1 << halvings);
    number sum = 0;  // e^small - 1
    for (int n = 14; n >= 1; --n) sum = small / n * (1 + sum);
    for (int i = 0; i < halvings; ++i) sum = sum * (2 + sum);
    return of(1 + sum);
  }
  // 2 artanh(x / (2 + x)), of 0 <= x <= 1
  friend quad log1p(quad x) {
    const number z = x.v_ / (2 + x.v_);
    number sum = 0;
    for (int n = 71; n >= 1; n -= 2) sum = sum * z * z + number(1) / n;
    return of(2 * z * sum);
  }

 private:
  __extension__ typedef __float128 number;
  static quad of(number x) {
    quad r;
    r.v_ = x;
    return r;
  }
  number v_ = 0;
};

}  // namespace support
