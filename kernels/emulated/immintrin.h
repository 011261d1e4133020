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

#define _mm512_min_ps(x, y) ostinato::emulated::lesser<__m512>(x, y)
#define _mm512_min_pd(x, y) ostinato::emulated::lesser<__m512d>(x, y)
#define _mm512_max_ps(x, y) ostinato::emulated::greater<__m512>(x, y)
#define _mm512_max_pd(x, y) ostinato::emulated::greater<__m512d>(x, y)
#define _mm512_rcp14_ps(x) ostinato::emulated::reciprocal(x)
