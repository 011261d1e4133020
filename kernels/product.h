// Products of a block of rows with a packed matrix: C = bias + sum over terms of A_k B_k.
//
// B is packed into panels of a few vectors' width, so that a tile of rows x vectors stays in registers while it runs
// down a panel. Every element of C is one chain of multiply-adds in the order of the terms, whatever the tile: a row's
// result does not depend on the rows beside it.
#pragma once

#include <algorithm>

#include "call.h"
#include "team.h"
#include "tiles.h"

namespace ostinato {
namespace OSTINATO_SET {

// One vector that enters a product, for each row of the block.
template <class T>
struct Operand {
  const T* data;
  long row, count;
};

// Consecutive entries, such as those of a vector that a panel reads, where the others meet zeros.
struct Range {
  long first, last;
  bool holds(long entry) const { return first <= entry && entry < last; }
  // Its part in front of an entry.
  Range below(long end) const { return {first, std::max(first, std::min(last, end))}; }
  // What both hold.
  Range among(const Range& other) const {
    const Range both{std::max(first, other.first), std::min(last, other.last)};
    return both.first < both.last ? both : Range{0, 0};
  }
};

// In the place of a panel's ranges: nobody reads the panel's result, so it is left as it is.
inline const Range kAsleep[1] = {};

// How `vectors` vectors are shared out to the fewest panels, as evenly as can be.
struct Panels {
  long vectors, count, even;  // `even`: what all have, if they have as many
  explicit Panels(long vectors)
      : vectors(vectors), count((vectors + kMostVectors - 1) / kMostVectors), even(count && vectors % count == 0 ? vectors / count : 0) {}
  long first(long panel) const { return even ? panel * even : panel * vectors / count; }
  int width(long panel) const { return int(first(panel + 1) - first(panel)); }
};

// A packed matrix: for each panel a row of bias, then `depth` rows. For the matrix unit, the biases of all vectors, and for
// each vector its tiles, `parts` for each of a number of rows.
template <class T>
struct Packed {
  T* data = nullptr;
  long vectors = 0, depth = 0;
  int parts = 0;
  Half* tiles = nullptr;
  long deep = 0;  // how many tiles are behind each other
  static long size(long vectors, long depth) { return vectors * lanes<Vector<T>> * (depth + 1); }
  T* panel(long first) const { return data + first * lanes<Vector<T>> * (depth + 1); }
  long column() const { return deep * parts * kTile; }
  // What a step reads of it.
  long bytes() const { return parts ? vectors * column() * long(sizeof(Half)) : size(vectors, depth) * long(sizeof(T)); }
};

// The vectors that enter a level's products, split for the matrix unit: each once, by every thread for itself.
template <class T>
class Splits {
 public:
  // The room for one vector of so many rows.
  static long size(int parts, long rows, long depth) {
    return (rows + kTileRows - 1) / kTileRows * tiles_deep(depth) * parts * kTile;
  }

  explicit Splits(Half* memory = nullptr) : memory_(memory) {}
  void forget() { count_ = used_ = 0; }

  template <int parts>
  Left of(const Operand<T>& operand, long rows) {
    const long deep = tiles_deep(operand.count), group = deep * parts * kTile;
    for (int k = 0; k < count_; ++k)
      if (known_[k] == operand.data) return {place_[k], group, deep};
    Half* const to = memory_ + used_;
    split_rows<parts>(operand.data, operand.row, rows, operand.count, to);
    known_[count_] = operand.data;
    place_[count_++] = to;
    used_ += size(parts, rows, operand.count);
    return {to, group, deep};
  }

 private:
  static constexpr int kMost = 32;
  Half* memory_;
  const T* known_[kMost];
  Half* place_[kMost];
  int count_ = 0;
  long used_ = 0;
};

template <class T, int M, int N>
void tile(const T* b, int terms, const Operand<T>* operands, const Range* ranges, long row, T* c, long c_row,
          bool accumulate) {
  using V = Vector<T>;
  V sum[M][N];
  const T* const begun = accumulate ? c : b;  // every row begins with the bias
  const long begun_row = accumulate ? c_row : 0;
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) sum[m][n] = load<V>(begun + m * begun_row + n * lanes<V>);
  b += N * lanes<V>;
  for (int k = 0; k < terms; ++k) {
    const Range range = ranges ? ranges[k] : Range{0, operands[k].count};
    const T* a = operands[k].data + row * operands[k].row + range.first;
    const T* const end = b + operands[k].count * N * lanes<V>;
    const long stride = operands[k].row, count = range.last - range.first;
    b += range.first * N * lanes<V>;
    for (long i = 0; i < count; ++i, ++a, b += N * lanes<V>) {
      V right[N];
      for (int n = 0; n < N; ++n) right[n] = load<V>(b + n * lanes<V>);
      for (int m = 0; m < M; ++m) {
        const V left = splat<V>(a[m * stride]);
        for (int n = 0; n < N; ++n) sum[m][n] += left * right[n];
      }
    }
    b = end;
  }
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) store(c + m * c_row + n * lanes<V>, sum[m][n]);
}

// The tile of m rows and n vectors.
template <class T>
auto find_tile(int m, int n) {
  return find_tile(m, n, [](auto rows, auto vectors) { return &tile<T, rows, vectors>; });
}

// P panels of N vectors at once for one row or two, whose chains alone are too few to keep the machine busy.
template <class T, int M, int N, int P>
void thin_tile(const T* const* panels, int terms, const Operand<T>* operands, const Range* ranges, T* const* c, long c_row,
               bool accumulate) {
  using V = Vector<T>;
  V sum[M][P][N];
  const T* b[P];
  for (int p = 0; p < P; ++p) {
    b[p] = panels[p] + N * lanes<V>;
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m)
        sum[m][p][n] = load<V>(accumulate ? c[p] + m * c_row + n * lanes<V> : panels[p] + n * lanes<V>);
  }
  for (int k = 0; k < terms; ++k) {
    const Range range = ranges ? ranges[k] : Range{0, operands[k].count};
    const T* a = operands[k].data + range.first;
    const long stride = operands[k].row;
    for (long i = range.first; i < range.last; ++i, ++a) {
      V left[M];
      for (int m = 0; m < M; ++m) left[m] = splat<V>(a[m * stride]);
      for (int p = 0; p < P; ++p)
        for (int n = 0; n < N; ++n) {
          const V right = load<V>(b[p] + (i * N + n) * lanes<V>);
          for (int m = 0; m < M; ++m) sum[m][p][n] += left[m] * right;
        }
    }
    for (int p = 0; p < P; ++p) b[p] += operands[k].count * N * lanes<V>;
  }
  for (int p = 0; p < P; ++p)
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m) store(c[p] + m * c_row + n * lanes<V>, sum[m][p][n]);
}

// `multiply` for M rows; `turned`, from the last panels to the first.
template <class T, int M>
void multiply_thin(const Packed<T>& b, int terms, const Operand<T>* operands, T* c, long c_row, bool accumulate,
                   const Range* ranges, const Team& crew, bool turned) {
  constexpr int N = kMostVectors, P = 8 / (N * M);
  const Panels panels(b.vectors);
  const long first = crew.first(panels.count), last = crew.last(panels.count), pieces = (last - first + P - 1) / P;
  for (long piece = 0; piece < pieces; ++piece) {
    const long begin = first + (turned ? pieces - 1 - piece : piece) * P, end = std::min(begin + P, last);
    const T* from[P];
    T* to[P];
    int found = 0;
    for (long p = begin; p < end && panels.width(p) == N; ++p, ++found) {
      from[found] = b.panel(panels.first(p));
      to[found] = c + panels.first(p) * lanes<Vector<T>>;
    }
    if (found == P) {
      thin_tile<T, M, N, P>(from, terms, operands, ranges, to, c_row, accumulate);
      continue;
    }
    for (long p = begin; p < end; ++p)
      find_tile<T>(M, panels.width(p))(b.panel(panels.first(p)), terms, operands, ranges, 0,
                                       c + panels.first(p) * lanes<Vector<T>>, c_row, accumulate);
  }
}

// C (rows x vectors), or C += with `accumulate`: this thread's share of the panels. `ranges_of(panel)` gives a range a term,
// null for all of every vector, or kAsleep.
template <class T, class RangesOf>
void multiply_panels(const Packed<T>& b, int terms, const Operand<T>* operands, long rows, T* c, long c_row, bool accumulate,
                     const Team& crew, RangesOf ranges_of) {
  const Panels panels(b.vectors);
  for (long p = crew.first(panels.count); p < crew.last(panels.count); ++p) {
    const Range* const ranges = ranges_of(p);
    if (ranges == kAsleep) continue;
    const int n = panels.width(p);
    const long first = panels.first(p), pieces = (rows + tile_rows(n) - 1) / tile_rows(n);
    for (long piece = 0; piece < pieces; ++piece) {
      const long row = piece * rows / pieces, next = (piece + 1) * rows / pieces;
      find_tile<T>(int(next - row), n)(b.panel(first), terms, operands, ranges, row,
                                       c + row * c_row + first * lanes<Vector<T>>, c_row, accumulate);
    }
  }
}

// The same on the matrix unit, `ranges` holding all of a vector or nothing.
template <class T, int parts>
void multiply_split(const Packed<T>& b, int terms, const Operand<T>* operands, long rows, T* c, long c_row, bool accumulate,
                    const Range* ranges, const Team& crew, Splits<T>& splits) {
  const long first = crew.first(b.vectors), last = crew.last(b.vectors);
  Left left[kColumns];
  int used = 0;
  long skipped = 0;
  for (int k = 0; k < terms; ++k) {
    if (!ranges || ranges[k].first < ranges[k].last)
      left[used++] = splits.template of<parts>(operands[k], rows);
    else if (!used)
      skipped += tiles_deep(operands[k].count);
  }
  multiply_rows<parts>(used, left, rows, b.tiles + first * b.column() + skipped * parts * kTile, b.column(), last - first,
                       c + first * lanes<Vector<T>>, c_row, accumulate ? nullptr : b.data + first * lanes<Vector<T>>);
}

// The same, all panels reading the same ranges. For few rows every second step is to be `turned`: it begins with the panels
// that the step before read last, which are still near.
template <class T>
void multiply(const Packed<T>& b, int terms, const Operand<T>* operands, long rows, T* c, long c_row, bool accumulate,
              const Range* ranges, const Team& crew, Splits<T>& splits, bool turned) {
  if constexpr (kTiles<T>) {
    if (b.parts)
      return with_parts(b.parts, [&](auto parts) {
        multiply_split<T, parts>(b, terms, operands, rows, c, c_row, accumulate, ranges, crew, splits);
      });
  }
  if (rows == 1) return multiply_thin<T, 1>(b, terms, operands, c, c_row, accumulate, ranges, crew, turned);
  if constexpr (kMostVectors < 4)
    if (rows == 2) return multiply_thin<T, 2>(b, terms, operands, c, c_row, accumulate, ranges, crew, turned);
  multiply_panels(b, terms, operands, rows, c, c_row, accumulate, crew, [ranges](long) { return ranges; });
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
