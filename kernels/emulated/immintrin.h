// AVX-512 for machines that lack it, so that its kernels can be tested there: vectors of 64 bytes become halves or quarters
// of what the machine has, and the instructions that the engine names itself are spelled out. Slow, and right.
#pragma once

#undef __AVX512F__
#include_next <immintrin.h>
#define __AVX512F__ 1

namespace ostinato {
namespace emulated {

template <class V>
inline V lesser(V x, V y) {
  return x < y ? x : y;
}

template <class V>
inline V greater(V x, V y) {
  return x > y ? x : y;
}

// The first lanes of what stands there, zeros in the others.
inline __m512 masked(unsigned mask, const float* from) {
  __m512 v{};
  for (int k = 0; k < 16; ++k)
    if (mask >> k & 1) v[k] = from[k];
  return v;
}

// The matrix unit: eight tiles of up to 16 rows of 64 bytes.
struct Unit {
  unsigned char rows[8];
  unsigned char bytes[8][16][64];
};

inline Unit& unit() {
  thread_local Unit one;
  return one;
}

inline void load_tile(int tile, const void* from, long row) {
  for (int r = 0; r < unit().rows[tile]; ++r)
    __builtin_memcpy(unit().bytes[tile][r], static_cast<const char*>(from) + r * row, 64);
}

inline void store_tile(int tile, void* to, long row) {
  for (int r = 0; r < unit().rows[tile]; ++r)
    __builtin_memcpy(static_cast<char*>(to) + r * row, unit().bytes[tile][r], 64);
}

inline float widened(const unsigned char* half) {
  unsigned bits = half[0] << 16 | unsigned(half[1]) << 24;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

inline void multiply_tiles(int sum, int left, int right) {
  Unit& u = unit();
  for (int r = 0; r < u.rows[sum]; ++r)
    for (int n = 0; n < 16; ++n) {
      float both[2] = {0, 0}, value;
      for (int k = 0; k < 16; ++k)
        for (int half = 0; half < 2; ++half)
          both[half] += widened(u.bytes[left][r] + 4 * k + 2 * half) * widened(u.bytes[right][k] + 4 * n + 2 * half);
      __builtin_memcpy(&value, u.bytes[sum][r] + 4 * n, 4);
      value += both[0] + both[1];
      __builtin_memcpy(u.bytes[sum][r] + 4 * n, &value, 4);
    }
}

inline void add_pairs(__m512& sum, const __m512& left, const __m512& right) {
  unsigned char pairs[2][64];
  __builtin_memcpy(pairs[0], &left, 64);
  __builtin_memcpy(pairs[1], &right, 64);
  for (int n = 0; n < 16; ++n)
    for (int half = 0; half < 2; ++half)
      sum[n] += widened(pairs[0] + 4 * n + 2 * half) * widened(pairs[1] + 4 * n + 2 * half);
}

// 1 / x with 14 bits, as accurate as the instruction promises to be.
inline __m512 reciprocal(__m512 x) {
  typedef int Bits __attribute__((vector_size(64)));
  const __m512 exact = 1.0f / x;
  Bits bits;
  __builtin_memcpy(&bits, &exact, sizeof(bits));
  bits &= ~((1 << 9) - 1);
  __m512 rounded;
  __builtin_memcpy(&rounded, &bits, sizeof(bits));
  return exact == exact ? rounded : exact;
}

}  // namespace emulated
}  // namespace ostinato

#define OSTINATO_EMULATED
#define _mm512_maskz_loadu_ps(mask, from) ostinato::emulated::masked(mask, from)
#define _mm512_min_ps(x, y) ostinato::emulated::lesser<__m512>(x, y)
#define _mm512_min_pd(x, y) ostinato::emulated::lesser<__m512d>(x, y)
#define _mm512_max_ps(x, y) ostinato::emulated::greater<__m512>(x, y)
#define _mm512_max_pd(x, y) ostinato::emulated::greater<__m512d>(x, y)
#define _mm512_rcp14_ps(x) ostinato::emulated::reciprocal(x)
