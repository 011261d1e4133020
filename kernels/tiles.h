// Products on the processor's matrix unit (AMX): tiles of bfloat16, multiplied and added up in float. Where there is none, but
// vectors of bfloat16 (AVX512-BF16), these make the products of single bfloat16.
//
// A float is the sum of three bfloat16, whose 8 bits each are its 24, and the product of two floats that of nine products.
// The six largest are taken: each of the others is at most 2^-24 of the whole. (Henry, Tang, Heinecke 2019, 1904.06376.) So
// a product has the accuracy of float's multiply-adds. With two parts three products are taken, of 16 bits; with one part one
// product, of 8. Infinity has no such parts, but with one; it becomes NaN.
#pragma once

#include <algorithm>
#include <type_traits>

#include "vector.h"

namespace ostinato {
namespace OSTINATO_SET {

// Whether numbers of this type can go through the matrix unit.
#if defined(__AVX512F__) && (defined(OSTINATO_AMX) || defined(OSTINATO_EMULATED))
template <class T>
constexpr bool kTiles = std::is_same<T, float>::value;
#else
template <class T>
constexpr bool kTiles = false;
#endif

// The most vectors, and for so many vectors the most rows, of a tile of sums that stay in registers.
constexpr int kMostVectors = kRegisters == 32 ? 4 : 2;
constexpr int tile_rows(int vectors) {
  const int fit = (kRegisters - vectors - 2) / vectors;
  const int most = fit < 12 ? fit : 12;
  return most == 9 ? 8 : most;
}

// What `of(rows, vectors)` makes of the numbers of rows and vectors of such a tile, as the compiler knows them.
template <int N = kMostVectors, int M = tile_rows(N), class Of>
auto find_tile(int m, int n, Of of) {
  if constexpr (N > 1)
    if (n < N) return find_tile<N - 1>(m, n, of);
  if constexpr (M > 1)
    if (m < M) return find_tile<N, M - 1>(m, n, of);
  return of(std::integral_constant<int, M>(), std::integral_constant<int, N>());
}

using Half = std::uint16_t;  // a bfloat16

// Whether the matrix unit is used, and not vectors of bfloat16.
extern bool matrix_unit;

// Calls `work` with a number of parts, 1 to 3, that the compiler knows.
template <class Work>
void with_parts(int parts, Work work) {
  if (parts == 3)
    work(std::integral_constant<int, 3>());
  else if (parts == 2)
    work(std::integral_constant<int, 2>());
  else
    work(std::integral_constant<int, 1>());
}

// A tile of the left matrix is up to 16 rows of 32 numbers; one of the right matrix, 32 rows of 16 numbers. Numbers k and
// k + 16 of the 32 stand side by side in both.
constexpr long kTileRows = 16, kTileDepth = 32, kTile = kTileRows * kTileDepth;
inline long tiles_deep(long depth) { return (depth + kTileDepth - 1) / kTileDepth; }

// Two vectors, lane by lane side by side, as `parts` vectors of bfloat16 that add up to them; `part` is from one to the next.
template <int parts, class V>
inline void split(V low, V high, Half* to, long part) {
  typedef std::uint32_t Bits __attribute__((vector_size(kBytes)));
  const auto upper = [](V x, bool round) {
    Bits bits;
    std::memcpy(&bits, &x, sizeof(V));
    if (round) bits += Bits(x == x) & 0x8000u;  // NaN would become a number
    return bits & 0xffff0000u;
  };
  const auto number = [](Bits bits) {
    V x;
    std::memcpy(&x, &bits, sizeof(V));
    return x;
  };
#pragma GCC unroll 3
  for (int p = 0; p < parts; ++p, to += part) {
    const bool exact = p == 2;  // what is left has 8 bits
    const Bits l = upper(low, !exact), h = upper(high, !exact);
    const Bits both = l >> 16 | h;
    std::memcpy(to, &both, sizeof(V));
    low -= number(l);
    high -= number(h);
  }
}

// The first n numbers, zeros behind them.
template <class V>
inline V load_within(const scalar<V>* from, long n) {
  if (n >= lanes<V>) return load<V>(from);
  if (n <= 0) return V{};
#if defined(__AVX512F__)
  return V(_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), from));
#else
  V v{};
  std::memcpy(&v, from, n * sizeof(v[0]));
  return v;
#endif
}

// A matrix of rows, for the left: [16 rows][32 columns deep][part] tiles.
template <int parts, class T>
void split_rows(const T* from, long row, long rows, long depth, Half* to) {
  using V = Vector<T>;
  const long deep = tiles_deep(depth);
  for (long r = 0; r < rows; ++r) {
    const T* numbers = from + r * row;
    Half* tile = to + r / kTileRows * deep * parts * kTile + r % kTileRows * kTileDepth;
    for (long k = 0; k < depth; k += kTileDepth, tile += parts * kTile)
      split<parts>(load_within<V>(numbers + k, depth - k), load_within<V>(numbers + k + lanes<V>, depth - k - lanes<V>), tile,
                   kTile);
  }
}

// Sixteen columns of a matrix, for the right: [32 rows deep][part] tiles.
template <int parts, class T>
void split_columns(const T* from, long row, long depth, Half* to) {
  using V = Vector<T>;
  const auto line = [&](long k) { return k < depth ? load<V>(from + k * row) : V{}; };
  for (long k = 0; k < depth; k += kTileDepth, to += parts * kTile)
    for (long i = 0; i < kTileRows; ++i) split<parts>(line(k + i), line(k + kTileRows + i), to + i * kTileDepth, kTile);
}

// The unit's eight tiles. Those of the result come first, then those of the left and of the right matrix.
template <int tile>
__attribute__((always_inline)) inline void load_tile(const void* from, long row) {
#if defined(OSTINATO_EMULATED)
  emulated::load_tile(tile, from, row);
#else
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(row), "i"(tile) : "memory");
#endif
}
template <int tile>
__attribute__((always_inline)) inline void store_tile(void* to, long row) {
#if defined(OSTINATO_EMULATED)
  emulated::store_tile(tile, to, row);
#else
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(row), "i"(tile) : "memory");
#endif
}
template <int sum, int left, int right>
__attribute__((always_inline)) inline void multiply_tiles() {
#if defined(OSTINATO_EMULATED)
  emulated::multiply_tiles(sum, left, right);
#else
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(left), "i"(right));
#endif
}

// Makes the first `rows[k]` rows of tile k the ones that count; none gives the unit back.
inline void shape_tiles(const long* rows) {
#if defined(OSTINATO_EMULATED)
  for (int tile = 0; tile < 8 && rows; ++tile) emulated::unit().rows[tile] = static_cast<unsigned char>(rows[tile]);
#elif defined(OSTINATO_AMX)
  if (!rows) {
    asm volatile("tilerelease" : : : "memory");
    return;
  }
  alignas(64) unsigned char shapes[64] = {1};
  for (int tile = 0; tile < 8; ++tile) {
    shapes[16 + 2 * tile] = 64;  // bytes a row
    shapes[48 + tile] = static_cast<unsigned char>(rows[tile]);
  }
  asm volatile("ldtilecfg %0" : : "m"(shapes) : "memory");
#endif
}

// The shapes that the tiles have in a thread while it works: those of the results of a first group of rows and of a second,
// or, where there is none, all of the first.
class TileShapes {
 public:
  static void set(long first, long second) {
    long& now = current();
    if (now == first * 256 + second) return;
    now = first * 256 + second;
    const long other = second ? second : first, last = second ? second : kTileRows;
    const long rows[8] = {first, first, other, other, first, last, kTileRows, kTileRows};
    shape_tiles(rows);
  }

  ~TileShapes() {
    if (current()) shape_tiles(nullptr);
    current() = 0;
  }

 private:
  static long& current() {
    thread_local long shapes = 0;
    return shapes;
  }
};

// The left side of a product: the tiles of rows, what is between those of one group of 16 rows and of the next, and how many
// are behind each other.
struct Left {
  const Half* tiles;
  long group, deep;
};

// What is multiplied for every tile: which part of the left with which of the right, so that most have one in common with
// the pair before.
template <int parts>
struct Pairs;
template <>
struct Pairs<1> {
  static constexpr int count = 1, left[] = {0}, right[] = {0};
};
template <>
struct Pairs<2> {
  static constexpr int count = 3, left[] = {1, 0, 0}, right[] = {0, 0, 1};
};
template <>
struct Pairs<3> {
  static constexpr int count = 6, left[] = {2, 1, 1, 0, 0, 0}, right[] = {0, 0, 1, 1, 2, 0};
};

// All pairs of one tile's depth for two groups of rows: tiles 4 and 5 are the left's, 6 and 7 the right's.
template <int parts, int columns, int pair = 0>
__attribute__((always_inline)) inline void multiply_pairs(const Half* a, long group, const Half* b, long column) {
  using P = Pairs<parts>;
  if constexpr (pair < P::count) {
    constexpr int i = P::left[pair], j = P::right[pair];
    if constexpr (pair == 0 || P::left[pair ? pair - 1 : 0] != i) {
      load_tile<4>(a + i * kTile, 64);
      load_tile<5>(a + group + i * kTile, 64);
    }
    if constexpr (pair == 0 || P::right[pair ? pair - 1 : 0] != j) {
      load_tile<6>(b + j * kTile, 64);
      if constexpr (columns > 1) load_tile<7>(b + column + j * kTile, 64);
    }
    multiply_tiles<0, 4, 6>();
    if constexpr (columns > 1) multiply_tiles<1, 4, 7>();
    multiply_tiles<2, 5, 6>();
    if constexpr (columns > 1) multiply_tiles<3, 5, 7>();
    multiply_pairs<parts, columns, pair + 1>(a, group, b, column);
  }
}

// The same for one group of rows: tile 4 is the left's, 5 to 7 are the right's.
template <int parts, int columns, int pair = 0>
__attribute__((always_inline)) inline void multiply_pairs(const Half* a, const Half* b, long column) {
  using P = Pairs<parts>;
  if constexpr (pair < P::count) {
    constexpr int i = P::left[pair], j = P::right[pair];
    if constexpr (pair == 0 || P::left[pair ? pair - 1 : 0] != i) load_tile<4>(a + i * kTile, 64);
    load_tile<5>(b + j * kTile, 64);
    multiply_tiles<0, 4, 5>();
    if constexpr (columns > 1) {
      load_tile<6>(b + column + j * kTile, 64);
      multiply_tiles<1, 4, 6>();
    }
    if constexpr (columns > 2) {
      load_tile<7>(b + 2 * column + j * kTile, 64);
      multiply_tiles<2, 4, 7>();
    }
    if constexpr (columns > 3) {
      load_tile<5>(b + 3 * column + j * kTile, 64);
      multiply_tiles<3, 4, 5>();
    }
    multiply_pairs<parts, columns, pair + 1>(a, b, column);
  }
}

// C = bias + sum over terms of left times right, or C += without `bias`, for one or two groups of rows and some vectors.
template <int parts, int groups, int columns>
void product_tile(int terms, const Left* left, long group, const Half* right, long column, float* c, long c_row,
                  const float* bias) {
  constexpr int kVector = 16;
  const float* const from = bias ? bias : c;
  const long row = bias ? 0 : c_row * long(sizeof(float)), next = bias ? 0 : kTileRows * c_row;
  float* const below = c + kTileRows * c_row;
  load_tile<0>(from, row);
  if constexpr (columns > 1) load_tile<1>(from + kVector, row);
  if constexpr (groups > 1) load_tile<2>(from + next, row);
  if constexpr (groups > 1 && columns > 1) load_tile<3>(from + next + kVector, row);
  if constexpr (groups == 1 && columns > 2) load_tile<2>(from + 2 * kVector, row);
  if constexpr (groups == 1 && columns > 3) load_tile<3>(from + 3 * kVector, row);
  for (int k = 0; k < terms; ++k) {
    const Half* a = left[k].tiles + group * left[k].group;
    for (long deep = 0; deep < left[k].deep; ++deep, a += parts * kTile, right += parts * kTile) {
      if constexpr (groups > 1)
        multiply_pairs<parts, columns>(a, left[k].group, right, column);
      else
        multiply_pairs<parts, columns>(a, right, column);
    }
  }
  const long to = c_row * long(sizeof(float));
  store_tile<0>(c, to);
  if constexpr (columns > 1) store_tile<1>(c + kVector, to);
  if constexpr (groups > 1) store_tile<2>(below, to);
  if constexpr (groups > 1 && columns > 1) store_tile<3>(below + kVector, to);
  if constexpr (groups == 1 && columns > 2) store_tile<2>(c + 2 * kVector, to);
  if constexpr (groups == 1 && columns > 3) store_tile<3>(c + 3 * kVector, to);
}

// sum + products of the pairs of bfloat16 in each lane.
template <class V>
__attribute__((always_inline)) inline V add_pairs(V sum, V left, V right) {
#if defined(OSTINATO_EMULATED)
  emulated::add_pairs(sum, left, right);
#else
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
#endif
  return sum;
}

// As `product_tile`, in vectors, for M rows from `row` on, all of one group, and N vectors.
template <int M, int N>
void pairs_tile(int terms, const Left* left, long row, const Half* right, long column, float* c, long c_row,
                const float* bias) {
  using V = Vector<float>;
  typedef std::uint32_t Pairs __attribute__((vector_size(kBytes)));
  V sum[M][N];
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) sum[m][n] = load<V>((bias ? bias : c + m * c_row) + n * lanes<V>);
  for (int k = 0; k < terms; ++k) {
    const Half* a = left[k].tiles + row / kTileRows * left[k].group + row % kTileRows * kTileDepth;
    for (long deep = 0; deep < left[k].deep; ++deep, a += kTile, right += kTile)
      for (long i = 0; i < kTileDepth / 2; ++i) {
        V below[N];
        for (int n = 0; n < N; ++n) std::memcpy(below + n, right + n * column + i * kTileDepth, sizeof(V));
        for (int m = 0; m < M; ++m) {
          std::uint32_t pair;
          std::memcpy(&pair, a + m * kTileDepth + 2 * i, sizeof(pair));
          const V beside = V(Pairs{} + pair);
          for (int n = 0; n < N; ++n) sum[m][n] = add_pairs(sum[m][n], beside, below[n]);
        }
      }
  }
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) store(c + m * c_row + n * lanes<V>, sum[m][n]);
}

// As `multiply_rows`, in vectors.
inline void multiply_pairs_of_rows(int terms, const Left* left, long rows, const Half* right, long column, long vectors,
                                   float* c, long c_row, const float* bias) {
  constexpr long lane = lanes<Vector<float>>;
  for (long v = 0; v < vectors; v += kMostVectors)
    for (long group = 0; group < rows; group += kTileRows) {
      const int n = int(std::min(vectors - v, long(kMostVectors)));
      const long count = std::min(rows - group, kTileRows), pieces = (count + tile_rows(n) - 1) / tile_rows(n);
      for (long piece = 0; piece < pieces; ++piece) {
        const long row = group + piece * count / pieces, next = group + (piece + 1) * count / pieces;
        const auto run = find_tile(int(next - row), n, [](auto m, auto n) { return &pairs_tile<m, n>; });
        run(terms, left, row, right + v * column, column, c + row * c_row + v * lane, c_row, bias ? bias + v * lane : nullptr);
      }
    }
}

// `product_tile` for `rows` rows and `vectors` vectors, `column` being what is between the tiles of one and of the next.
template <int parts>
void multiply_rows(int terms, const Left* left, long rows, const Half* right, long column, long vectors, float* c, long c_row,
                   const float* bias) {
  if constexpr (parts == 1)
    if (!matrix_unit) return multiply_pairs_of_rows(terms, left, rows, right, column, vectors, c, c_row, bias);
  constexpr long kVector = 16, kBoth = 2 * kTileRows;
  const auto vector = [&](long v) { return right + v * column; };
  const auto place = [&](long group, long v) { return c + group * kTileRows * c_row + v * kVector; };
  const auto begin = [&](long v) { return bias ? bias + v * kVector : nullptr; };
  const auto both = [&](long group, long v) {
    const auto run = v + 1 < vectors ? product_tile<parts, 2, 2> : product_tile<parts, 2, 1>;
    run(terms, left, group, vector(v), column, place(group, v), c_row, begin(v));
  };
  const long whole = rows / kBoth, rest = rows % kBoth;
  if (whole > 0) TileShapes::set(kTileRows, kTileRows);
  for (long v = 0; v < vectors && whole > 0; v += 2)
    for (long pair = 0; pair < whole; ++pair) both(2 * pair, v);
  if (rest > kTileRows) {
    TileShapes::set(kTileRows, rest - kTileRows);
    for (long v = 0; v < vectors; v += 2) both(2 * whole, v);
  } else if (rest > 0) {
    TileShapes::set(rest, 0);
    for (long v = 0; v < vectors; v += 4) {
      const long more = std::min(vectors - v, 4L);
      const auto run = more == 4   ? product_tile<parts, 1, 4>
                       : more == 3 ? product_tile<parts, 1, 3>
                       : more == 2 ? product_tile<parts, 1, 2>
                                   : product_tile<parts, 1, 1>;
      run(terms, left, 2 * whole, vector(v), column, place(2 * whole, v), c_row, begin(v));
    }
  }
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
