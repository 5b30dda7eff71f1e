// Reductions follow Cody and Waite; polynomials are Taylor series long enough for their interval; where a plain double
// is not enough (pow, the reduction of angles) numbers are pairs hi + lo as by Dekker 1971 and Knuth.
#include "base/exact_math.h"

#include <cfloat>
#include <cstdint>
#include <cstring>

static_assert(FLT_EVAL_METHOD == 0, "x87 arithmetic rounds twice: build for SSE2 or another IEEE unit");

namespace nextoken {
namespace {

constexpr double INFINITY_ = __builtin_inf(), NAN_ = __builtin_nan("");
constexpr double LN2_HI = 0x1.62e42fefp-1; // 33 bits: times an exponent it is exact
constexpr double LN2_LO = 0x1.473de6af278edp-34;
constexpr double LOG2_E = 0x1.71547652b82fep+0;

uint64_t bits_of(double x) {
  uint64_t u;
  std::memcpy(&u, &x, 8);
  return u;
}

double from_bits(uint64_t u) {
  double x;
  std::memcpy(&x, &u, 8);
  return x;
}

double absolute(double x) { return from_bits(bits_of(x) & ~(1ull << 63)); }

// Nearest whole number, ties to even, for |x| < 2^51.
double nearest(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

// x * 2^n for n in [-1100, 1100], in two steps so that neither power leaves the range of normal numbers.
double scale(double x, int n) {
  const int first = n / 2, second = n - first;
  return x * from_bits((uint64_t)(first + 1023) << 52) * from_bits((uint64_t)(second + 1023) << 52);
}

// exp(r + low) - 1 for |r| < 0.36: 14 terms leave 0.36^15 / 15! = 2e-19.
double exp_minus_one(double r, double low) {
  double p = 1.0 / 87178291200.0;
  p = p * r + 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  return r + (low + r * r * p);
}

// x = n ln2 + r + low with |r| < 0.35
double reduce_exponent(double x, double* r, double* low) {
  const double n = nearest(x * LOG2_E);
  const double hi = x - n * LN2_HI, lo = n * LN2_LO;
  *r = hi - lo;
  *low = (hi - *r) - lo;
  return n;
}

// A number as the unevaluated sum of two, about 106 bits.
struct Pair {
  double hi, lo;
};

Pair sum(double a, double b) {
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

Pair product(double a, double b) {
  constexpr double SPLIT = 134217729.0; // 2^27 + 1
  const double p = a * b;
  const double ca = a * SPLIT, ah = ca - (ca - a), al = a - ah;
  const double cb = b * SPLIT, bh = cb - (cb - b), bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

Pair add(Pair a, Pair b) {
  const Pair s = sum(a.hi, b.hi), t = sum(a.lo, b.lo);
  const Pair u = sum(s.hi, s.lo + t.hi);
  return sum(u.hi, u.lo + t.lo);
}

Pair multiply(Pair a, Pair b) {
  const Pair p = product(a.hi, b.hi);
  return sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

Pair negate(Pair a) { return {-a.hi, -a.lo}; }

Pair divide(Pair a, Pair b) {
  const double q = a.hi / b.hi;
  const Pair r = add(a, negate(multiply(b, {q, 0.0})));
  const double q2 = r.hi / b.hi;
  const Pair r2 = add(r, negate(multiply(b, {q2, 0.0})));
  return add(sum(q, q2), {r2.hi / b.hi, 0.0});
}

// Splits a positive finite x into m * 2^k with m in [sqrt(1/2), sqrt(2)).
double split_exponent(double x, int* k) {
  *k = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    *k = -54;
  }
  uint64_t u = bits_of(x);
  *k += (int)(u >> 52) - 1023;
  u = (u & 0xfffffffffffffull) | (1023ull << 52);
  double m = from_bits(u);
  if (m >= 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    *k += 1;
  }
  return m;
}

// log(x) to about 100 bits: 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.172, 20 terms.
Pair log_pair(double x) {
  int k;
  const double m = split_exponent(x, &k);
  const Pair s = divide({m - 1.0, 0.0}, sum(m, 1.0)), z = multiply(s, s);
  Pair p = {0.0, 0.0};
  for (int i = 20; i >= 0; --i) p = add(multiply(p, z), divide({1.0, 0.0}, {2.0 * i + 1.0, 0.0}));
  p = multiply(multiply(p, s), {2.0, 0.0});
  const Pair ln2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
  return add(multiply(ln2, {(double)k, 0.0}), p);
}

// exp of a pair in [-745, 710], rounded once (twice for subnormal results).
double exp_pair(Pair y) {
  const double n = nearest(y.hi * LOG2_E);
  const Pair ln2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
  const Pair r = add(y, negate(multiply(ln2, {n, 0.0})));
  Pair p = {1.0, 0.0}; // Horner from the far end: 0.35^23 / 23! = 1e-33
  for (int i = 22; i >= 1; --i) p = add(divide(multiply(p, r), {(double)i, 0.0}), {1.0, 0.0});
  return scale(p.hi, (int)n);
}

// x = n pi/2 + r.hi + r.lo, |r| <= pi/4 and a little; returns n mod 4. For |x| <= 2^45 the three parts of pi/2 leave an
// error of 2^-115, while no double in that range comes nearer than 2^-62 to a multiple of pi/2.
int reduce_angle(double x, Pair* r) {
  const double n = nearest(x * 0x1.45f306dc9c883p-1);
  const Pair a = product(n, 0x1.921fb54442d18p+0), b = product(n, 0x1.1a62633145c07p-54);
  const double c = n * -0x1.f1976b7ed8fbcp-110;
  Pair s = sum(x, -a.hi);
  s = add(s, {-a.lo, 0.0});
  s = add(s, negate(b));
  *r = add(s, {-c, 0.0});
  return (int)((int64_t)n & 3);
}

// Taylor to r^17: 0.79^19 / 19! is below 2^-60.
double sin_reduced(Pair r) {
  const double x = r.hi, z = x * x;
  double p = 1.0 / 355687428096000.0;
  p = p * z - 1.0 / 1307674368000.0;
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  return x + (x * z * p + r.lo * (1.0 - 0.5 * z));
}

// Taylor to r^18; 1 - z/2 loses bits that the second sum gives back.
double cos_reduced(Pair r) {
  const double x = r.hi, z = x * x;
  double p = -1.0 / 6402373705728000.0;
  p = p * z + 1.0 / 20922789888000.0;
  p = p * z - 1.0 / 87178291200.0;
  p = p * z + 1.0 / 479001600.0;
  p = p * z - 1.0 / 3628800.0;
  p = p * z + 1.0 / 40320.0;
  p = p * z - 1.0 / 720.0;
  p = p * z + 1.0 / 24.0;
  const double half = 0.5 * z, w = 1.0 - half;
  return w + (((1.0 - w) - half) + (z * z * p - x * r.lo));
}

double sin_of_quarter(double x, int quarter) {
  if (!(absolute(x) <= 0x1p45)) return NAN_;
  Pair r;
  switch ((reduce_angle(x, &r) + quarter) & 3) {
    case 0:
      return sin_reduced(r);
    case 1:
      return cos_reduced(r);
    case 2:
      return -sin_reduced(r);
    default:
      return -cos_reduced(r);
  }
}

bool is_whole(double y) { return absolute(y) >= 0x1p52 || nearest(y) == y; }
bool is_odd(double y) { return absolute(y) < 0x1p53 && is_whole(y) && ((int64_t)y & 1); }

} // namespace

double exact_exp(double x) {
  if (!(x <= 0x1.62e42fefa39efp+9)) return x != x ? NAN_ : INFINITY_;
  if (x < -0x1.74910d52d3051p+9) return 0.0;
  double r, low;
  const double n = reduce_exponent(x, &r, &low);
  return scale(1.0 + exp_minus_one(r, low), (int)n);
}

double exact_log(double x) {
  if (x != x || x < 0.0) return NAN_;
  if (x == 0.0) return -INFINITY_;
  if (x == INFINITY_) return x;
  int k;
  const double f = split_exponent(x, &k) - 1.0, s = f / (2.0 + f), z = s * s;
  double p = 2.0 / 25.0; // log(1 + f) = 2 s + 2/3 s^3 + ...: 0.172^26 is 2^-66
  for (int i = 23; i >= 3; i -= 2) p = p * z + 2.0 / (double)i;
  // 2 s = f - s f, and s f = f^2/2 - s f^2/2: the largest term, f, stays exact.
  const double half = 0.5 * f * f;
  return (double)k * LN2_HI - ((half - (s * (half + z * p) + (double)k * LN2_LO)) - f);
}

double exact_sin(double x) { return x == 0.0 ? x : sin_of_quarter(x, 0); }
double exact_cos(double x) { return sin_of_quarter(x, 1); }

double exact_tanh(double x) {
  if (x != x) return NAN_;
  const double a = absolute(x);
  if (a < 0x1p-28) return x;
  if (a > 20.0) return x < 0.0 ? -1.0 : 1.0;
  double r, low;
  const double n = reduce_exponent(2.0 * a, &r, &low);
  const double e = exp_minus_one(r, low);
  // exp(2a) - 1 = 2^n ((1 - 2^-n) + e), without cancellation
  const double t = scale((1.0 - scale(1.0, -(int)n)) + e, (int)n), y = t / (t + 2.0);
  return x < 0.0 ? -y : y;
}

double exact_pow(double x, double y) {
  if (y == 0.0 || x == 1.0) return 1.0;
  if (x != x || y != y) return NAN_;
  const bool negative = (bits_of(x) >> 63) != 0, flip = negative && is_odd(y);
  const double a = absolute(x);
  double result;
  if (absolute(y) == INFINITY_) {
    result = a == 1.0 ? 1.0 : ((a > 1.0) == (y > 0.0) ? INFINITY_ : 0.0);
  } else if (a == 0.0 || a == INFINITY_) {
    result = (a == 0.0) == (y > 0.0) ? 0.0 : INFINITY_;
  } else if (negative && !is_whole(y)) {
    return NAN_;
  } else {
    const Pair l = log_pair(a);
    const double rough = l.hi * y;
    if (rough > 720.0) {
      result = INFINITY_;
    } else if (rough < -760.0) {
      result = 0.0;
    } else {
      result = exp_pair(multiply(l, {y, 0.0}));
    }
  }
  return flip ? -result : result;
}

} // namespace nextoken
