// Matrices copied from one order of their entries to another, in squares of whole vectors.
#pragma once

#include <algorithm>
#include <utility>

#include "vector.h"

namespace ostinato {
namespace OSTINATO_SET {

template <class V, int... Lane>
inline V pick(V a, V b, std::integer_sequence<int, Lane...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, Lane...);
#else
  return __builtin_shuffle(a, b, bits_of<V>{Lane...});
#endif
}

// Swaps, in every square of 2 S lanes that a and b begin the halves of, what stands off the diagonal.
template <int S, class V, int... Lane>
inline void swap_halves(V& a, V& b, std::integer_sequence<int, Lane...>) {
  constexpr int n = lanes<V>;
  const V low = pick(a, b, std::integer_sequence<int, (Lane & S ? n + Lane - S : Lane)...>());
  b = pick(a, b, std::integer_sequence<int, (Lane & S ? n + Lane : Lane + S)...>());
  a = low;
}

template <int S, class V>
inline void transpose_from(V* rows) {
  if constexpr (S < lanes<V>) {
    for (int i = 0; i < lanes<V>; ++i)
      if (!(i & S)) swap_halves<S>(rows[i], rows[i + S], std::make_integer_sequence<int, lanes<V>>());
    transpose_from<2 * S>(rows);
  }
}

// to[i * to_row + j] = from[j * from_row + i], for as many i and j as a vector has lanes.
template <class T>
inline void transpose_square(T* to, long to_row, const T* from, long from_row) {
  using V = Vector<T>;
  V rows[lanes<V>];
  for (int j = 0; j < lanes<V>; ++j) rows[j] = load<V>(from + j * from_row);
  transpose_from<1>(rows);
  for (int i = 0; i < lanes<V>; ++i) store(to + i * to_row, rows[i]);
}

// to[i * to_i + j * to_j] = from[i * from_i + j * from_j], i < rows, j < columns.
template <class T>
void rearrange(T* to, long to_i, long to_j, const T* from, long from_i, long from_j, long rows, long columns) {
  using V = Vector<T>;
  constexpr long n = lanes<V>, kBand = 16 * n;  // of rows, whose ends the cache holds until the next square
  const auto one_by_one = [&](long i0, long i1, long j0) {
    for (long i = i0; i < i1; ++i)
      for (long j = j0; j < columns; ++j) to[i * to_i + j * to_j] = from[i * from_i + j * from_j];
  };
  if (to_j != 1 && to_i == 1) return rearrange(to, to_j, to_i, from, from_j, from_i, columns, rows);
  const long whole = columns / n * n;
  if (to_j == 1 && from_j == 1) {
    for (long i = 0; i < rows; ++i)
      for (long j = 0; j < whole; j += n) store(to + i * to_i + j, load<V>(from + i * from_i + j));
    return one_by_one(0, rows, whole);
  }
  if (to_j != 1 || from_i != 1) return one_by_one(0, rows, 0);
  const long down = rows / n * n;
  for (long i0 = 0; i0 < down; i0 += kBand)
    for (long j = 0; j < whole; j += n)
      for (long i = i0; i < std::min(i0 + kBand, down); i += n)
        transpose_square(to + i * to_i + j, to_i, from + i + j * from_j, from_j);
  one_by_one(0, down, whole);
  one_by_one(down, rows, 0);
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
