// Vectors of float or double as wide as the instruction set, and the functions that cells are made of.
//
// Largest errors, in units in the last place of the result (tests/scan holds them against the float64 reference):
//   exp, expm1 within 2; sigmoid, tanh within 4; log1p within 4; erf as the C library's.
// NaN in gives NaN out. Results below the smallest normal number are zero, those of exp below 1.5 times that.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

// A function that is called, not copied to where it is used.
#define OSTINATO_APART __attribute__((noinline))

namespace ostinato {
namespace OSTINATO_SET {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
constexpr int kRegisters = 16;
#else
constexpr int kBytes = 16;
constexpr int kRegisters = 16;
#endif

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kBytes)));
  typedef std::int32_t bits __attribute__((vector_size(kBytes)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kBytes)));
  typedef std::int64_t bits __attribute__((vector_size(kBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class V>
struct ScalarOf;
template <>
struct ScalarOf<Vector<float>> {
  using type = float;
};
template <>
struct ScalarOf<Vector<double>> {
  using type = double;
};
template <class V>
using scalar = typename ScalarOf<V>::type;
template <class V>
using bits_of = typename VectorOf<scalar<V>>::bits;

template <class V>
constexpr int lanes = kBytes / int(sizeof(scalar<V>));

// The same number in every lane. Not V{} + value: that addition would stay, since it turns -0 into 0.
template <class V>
inline V splat(scalar<V> value) {
  return value - V{};
}

template <class V>
inline V load(const scalar<V>* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}

template <class V>
inline void store(scalar<V>* to, V v) {
  std::memcpy(to, &v, sizeof(V));
}

template <class T>
inline void prefetch(const T* from) {
  __builtin_prefetch(from, 1, 2);
}

// The first n lanes of v, zero in the others.
template <class V>
inline V within(V v, long n) {
  if (n >= lanes<V>) return v;
  bits_of<V> number;
  for (int k = 0; k < lanes<V>; ++k) number[k] = k;
  using integer = typename std::remove_reference<decltype(number[0])>::type;
  return number < integer(n) ? v : V{};
}

template <class V>
inline scalar<V> total(V v) {
  scalar<V> sum = 0;
  for (int k = 0; k < lanes<V>; ++k) sum += v[k];
  return sum;
}

template <class V>
inline bits_of<V> as_bits(V x) {
  bits_of<V> bits;
  std::memcpy(&bits, &x, sizeof(V));
  return bits;
}

template <class V>
inline V from_bits(bits_of<V> bits) {
  V x;
  std::memcpy(&x, &bits, sizeof(V));
  return x;
}

template <class V>
inline V absolute(V x) {
  return from_bits<V>(as_bits(x) & ~as_bits(-V{}));
}

// x < y ? x : y and x > y ? x : y, which is y where either is NaN: one instruction, that GCC finds only where it may forget
// of NaN.
template <class V>
inline V lesser(V x, V y) {
  constexpr bool single = sizeof(scalar<V>) == 4;
#if defined(__AVX512F__)
  if constexpr (single)
    return V(_mm512_min_ps(__m512(x), __m512(y)));
  else
    return V(_mm512_min_pd(__m512d(x), __m512d(y)));
#elif defined(__AVX2__)
  if constexpr (single)
    return V(_mm256_min_ps(__m256(x), __m256(y)));
  else
    return V(_mm256_min_pd(__m256d(x), __m256d(y)));
#elif defined(__SSE2__)
  if constexpr (single)
    return V(_mm_min_ps(__m128(x), __m128(y)));
  else
    return V(_mm_min_pd(__m128d(x), __m128d(y)));
#else
  return x < y ? x : y;
#endif
}

template <class V>
inline V greater(V x, V y) {
  constexpr bool single = sizeof(scalar<V>) == 4;
#if defined(__AVX512F__)
  if constexpr (single)
    return V(_mm512_max_ps(__m512(x), __m512(y)));
  else
    return V(_mm512_max_pd(__m512d(x), __m512d(y)));
#elif defined(__AVX2__)
  if constexpr (single)
    return V(_mm256_max_ps(__m256(x), __m256(y)));
  else
    return V(_mm256_max_pd(__m256d(x), __m256d(y)));
#elif defined(__SSE2__)
  if constexpr (single)
    return V(_mm_max_ps(__m128(x), __m128(y)));
  else
    return V(_mm_max_pd(__m128d(x), __m128d(y)));
#else
  return x > y ? x : y;
#endif
}

// The smaller and the larger of two; NaN where one is.
template <class V>
inline V minimum(V x, V y) {
  const V least = lesser(y, x);
  return y == y ? least : y;
}

template <class V>
inline V maximum(V x, V y) {
  const V most = greater(y, x);
  return y == y ? most : y;
}

template <class V>
inline V select(V condition, V positive, V otherwise) {
  return condition > 0 ? positive : otherwise;
}

template <class V>
inline V sqrt(V x) {
  V y;
  for (int k = 0; k < lanes<V>; ++k) y[k] = std::sqrt(x[k]);
  return y;
}

// x - y * floor(x / y), from 0 to y; of the magnitudes first, exactly. A quotient of many digits takes two passes, and one that
// was rounded up to a whole number leaves less than nothing.
template <class V>
inline V remainder(V x, V y) {
  const V divisor = absolute(y);
  V rest = absolute(x);
#if defined(__FMA__) || defined(__aarch64__)
  for (int pass = 0; pass < 2; ++pass) {
    V whole = rest / divisor;
    for (int k = 0; k < lanes<V>; ++k) whole[k] = std::floor(whole[k]);
    rest = rest - divisor * whole;
  }
  rest = rest < V{} ? rest + divisor : rest;
#else
  for (int k = 0; k < lanes<V>; ++k) rest[k] = std::fmod(rest[k], divisor[k]);
#endif
  const V same = x < V{} ? -rest : rest;
  return ((x < V{}) ^ (y < V{})) & (rest != V{}) ? same + y : same;
}

template <class V>
inline V erf(V x) {
  V y;
  for (int k = 0; k < lanes<V>; ++k) y[k] = std::erf(x[k]);
  return y;
}

template <class T>
struct Constants;

template <>
struct Constants<float> {
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.428606820309417e-6f;
  static constexpr float largest = 88.72283f, smallest = -87.33654f, tanh_flat = 9.1f;
  static constexpr int bias = 127, mantissa = 23, logarithm_terms = 5;
  // expm1(r) / r on |r| <= ln 2 / 2, interpolated at Chebyshev nodes; relative error 1.2e-8.
  static constexpr float series[6] = {1.0f,           0.50000000135f,  0.16666505196f,
                                      0.04166646493f, 0.00836915566f, 0.00139336500f};
};

template <>
struct Constants<double> {
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058781614e-10;
  static constexpr double largest = 709.782712893384, smallest = -708.3964185322641, tanh_flat = 19.1;
  static constexpr int bias = 1023, mantissa = 52, logarithm_terms = 11;
  // likewise; relative error 2e-17.
  static constexpr double series[11] = {1.0,
                                        0.50000000000000056225,
                                        0.16666666666666670991,
                                        0.041666666666573067732,
                                        0.0083333333333261351258,
                                        0.0013888888932514779355,
                                        0.00019841269874820625271,
                                        0.000024801504313785540166,
                                        2.755725540020642443e-6,
                                        2.7626371065696356076e-7,
                                        2.5105217004720745164e-8};
};

// x within [low, high]; NaN stays NaN, which is why x stands last in both comparisons.
template <class V>
inline V bounded(V x, scalar<V> low, scalar<V> high) {
  return lesser(splat<V>(high), greater(splat<V>(low), x));
}

// x / y for y of ordinary size, within 1.1 units in the last place of it, and at most 1 where x <= y: faster than a
// division. Newton's step comes to 1 / y from below; it ends in a multiply-add, so that no other is made of its product.
template <class V>
inline V quotient(V x, V y) {
#if defined(__AVX512F__)
  if constexpr (sizeof(scalar<V>) == 4) {
    const V r = V(_mm512_rcp14_ps(__m512(y)));
    const V q = x * r;
    return q + q * (scalar<V>(1) - y * r);
  }
#endif
  return x / y;
}

// Coefficient k of expm1(f r) / r, for a factor f of 1, -1 or 2.
template <class T>
constexpr T coefficient(int k, int factor) {
  T power = T(factor);
  for (int i = 0; i < k; ++i) power *= T(factor);
  return power * Constants<T>::series[k];
}

// exp(f x) as 2 (power + change): f x = n ln 2 + f r, power = 2^(n-1), so that n = bias + 1 fits, and
// change = power expm1(f r). For f x within the range of finite results. Where the result is added to a number that is not
// small beside it, ln 2 need not be more exact than a number is.
template <int factor, bool exact, class V>
inline void split_exponential(V x, V& power, V& change) {
  using T = scalar<V>;
  using C = Constants<T>;
  using B = bits_of<V>;
  const V shifted = x * T(factor * 1.44269504088896340736) + C::round;
  const V n = shifted - C::round;
  V r;
  if constexpr (exact)
    r = (x - n * (C::ln2_high / T(factor))) - n * (C::ln2_low / T(factor));
  else
    r = x - n * T(0.69314718055994530942 / factor);
  constexpr int count = sizeof(C::series) / sizeof(T);
  V sum = splat<V>(coefficient<T>(count - 1, factor));
#pragma GCC unroll 16
  for (int k = count - 2; k >= 0; --k) sum = sum * r + coefficient<T>(k, factor);
  power = from_bits<V>((as_bits(shifted) + (C::bias - 1)) << C::mantissa);  // the high bits of `round` drop out
  change = sum * (r * power);
}

template <class V>
inline V exp(V x) {
  using T = scalar<V>;
  using C = Constants<T>;
  V power, change;
  split_exponential<1, true>(bounded(x, C::smallest, C::largest), power, change);
  const V value = (change + power) * T(2);
  const V above = x > C::largest ? splat<V>(T(INFINITY)) : value;
  return x < C::smallest ? V{} : above;
}

template <class V>
inline V sigmoid(V x) {
  using T = scalar<V>;
  using C = Constants<T>;
  V power, change;
  // 1 / (1 + exp(-x)), x bounded so that the result stays a normal number
  split_exponential<-1, true>(bounded(x, T(1) - C::largest, -C::smallest), power, change);
  return quotient(splat<V>(T(0.5)), change + (power + T(0.5)));
}

template <class V>
inline V tanh(V x) {
  using T = scalar<V>;
  using C = Constants<T>;
  V power, change;
  split_exponential<2, false>(bounded(x, -C::tanh_flat, C::tanh_flat), power, change);
  // half of expm1(2 x), without cancellation: 2^n - 1 is exact
  const V half = change + (power - T(0.5));
  return quotient(half, half + T(1));
}

template <class V>
inline V log1p(V x) {
  using T = scalar<V>;
  using C = Constants<T>;
  using B = bits_of<V>;
  const V u = x + T(1);
  const V lost = (x - (u - T(1))) / u;
  B bits;
  std::memcpy(&bits, &u, sizeof(V));
  using integer = typename std::remove_reference<decltype(bits[0])>::type;
  // u = m 2^e with m between sqrt(1/2) and sqrt(2)
  constexpr integer half_root = sizeof(T) == 4 ? integer(0x3f3504f3) : integer(0x3fe6a09e667f3bcdLL);
  const B e = (bits - half_root) >> C::mantissa;
  bits -= e << C::mantissa;
  V m;
  std::memcpy(&m, &bits, sizeof(V));
  V exponent;
  for (int k = 0; k < lanes<V>; ++k) exponent[k] = T(e[k]);
  const V s = (m - T(1)) / (m + T(1));
  const V z = s * s;
  V sum = splat<V>(T(2) / T(2 * C::logarithm_terms + 1));
#pragma GCC unroll 16
  for (int k = C::logarithm_terms - 1; k >= 0; --k) sum = sum * z + T(2) / T(2 * k + 1);
  const V value = exponent * C::ln2_high + (s * sum + (exponent * C::ln2_low + lost));
  const V finite = u > (sizeof(T) == 4 ? T(3.4028235e38) : T(1.7976931348623157e308)) ? u : value;
  return finite;
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
