// The backward pass: the steps, then the weights' gradients as products over all tokens.
#pragma once

#include "scan.h"

namespace ostinato {
namespace OSTINATO_SET {

// Tokens in a chunk: its panel of columns stays in the first-level cache.
constexpr long kChunk = 384 / kMostVectors;
// Entries of the vectors at a time: with those of a chunk they stay in the second-level cache.
constexpr long kBand = 256;
// Tokens in a chunk for the matrix unit.
constexpr long kSplitChunk = 128;
// Numbers that the sums over several ranges of tokens may take.
constexpr long kSums = 1 << 20;

template <class T, int M, int N>
void outer_tile(const T* a, long a_row, long depth, const T* b, T* c, long c_row) {
  using V = Vector<T>;
  V sum[M][N];
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) sum[m][n] = load<V>(c + m * c_row + n * lanes<V>);
  for (long k = 0; k < depth; ++k, a += a_row, b += N * lanes<V>) {
    V right[N];
    for (int n = 0; n < N; ++n) right[n] = load<V>(b + n * lanes<V>);
    for (int m = 0; m < M; ++m) {
      const V left = splat<V>(a[m]);
      for (int n = 0; n < N; ++n) sum[m][n] += left * right[n];
    }
  }
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) store(c + m * c_row + n * lanes<V>, sum[m][n]);
}

// The outer tile of m rows and n vectors.
template <class T>
auto find_outer(int m, int n) {
  return find_tile(m, n, [](auto rows, auto vectors) { return &outer_tile<T, rows, vectors>; });
}

// Sums over tokens of (vector that entered a product) x (gradient of its columns), for one product. The tokens are cut
// into `splits` ranges, a number that depends on the shapes alone, so that the result does not depend on the threads.
template <class T>
class WeightGradient {
 public:
  WeightGradient(const Layout<T>& layout, const Product& product, Carver& carver)
      : layout_(layout), product_(product), panels_(product.columns * layout.column_vectors) {
    columns_ = product.columns * layout.width;
    for (int k = 0; k < product.terms; ++k)
      if (wanted(k)) depth_ += layout.size_of(product.term[k].vector);
    // an odd number of cache lines, so that the tokens' spread over all of a cache
    constexpr long line = 64 / sizeof(T);
    vectors_row_ = (rounded(depth_, line) / line | 1) * line;
    // enough pieces of work for several threads, and each large enough to be worth adding up
    const long size = (depth_ + 1) * columns_;
    while (splits_ < 8 && layout.tokens() >= splits_ * 512 && 2 * splits_ * size <= kSums) splits_ *= 2;
    sums_ = carver.array<T>(splits_ * size);
  }

  long splits() const { return splits_; }
  long panels() const { return panels_.count; }

  // How much room `sum` needs for a chunk.
  long packed_size() const {
    if (layout_.parts) return (left_size() + panels_.vectors * tiles_deep(kSplitChunk) * layout_.parts * kTile) / 2;
    return kChunk * (panels_.vectors * lanes<Vector<T>> + vectors_row_);
  }

  // One range of tokens, for panels first..last.
  void sum(long split, long first, long last, T* packed) const {
    const long from = layout_.tokens() * split / splits_, to = layout_.tokens() * (split + 1) / splits_;
    T* sums = sums_ + split * (depth_ + 1) * columns_;
    const long begin = panels_.first(first) * lanes<Vector<T>>, end = panels_.first(last) * lanes<Vector<T>>;
    for (long row = 0; row <= depth_; ++row) std::memset(sums + row * columns_ + begin, 0, (end - begin) * sizeof(T));
    long t = 0;
    while (t + 1 < layout_.call.steps && layout_.tokens_before(t + 1) <= from) ++t;
    if constexpr (kTiles<T>) {
      if (layout_.parts)
        return with_parts(layout_.parts, [&](auto parts) {
          sum_split<parts>(from, to, t, panels_.first(first), panels_.first(last), sums, reinterpret_cast<Half*>(packed));
        });
    }
    T* const vectors = packed + kChunk * panels_.vectors * lanes<Vector<T>>;
    for (long token = from; token < to;) {
      const long count = std::min(kChunk, to - token);
      for (long k = 0; k < count; ++k) {
        while (token + k >= layout_.tokens_before(t + 1)) ++t;
        const long row = token + k - layout_.tokens_before(t);
        T* to = vectors + k * vectors_row_;
        for (int term = 0; term < product_.terms; ++term) {
          if (!wanted(term)) continue;
          const long size = layout_.size_of(product_.term[term].vector);
          copy_row(to, vector(product_.term[term].vector, t, row), size);
          to += size;
        }
      }
      pack(token, count, first, last, sums, packed);
      for (long row = 0; row < depth_; row += kBand) {
        const T* panel = packed;
        for (long p = first; p < last; ++p) {
          const long size = count * panels_.width(p) * lanes<Vector<T>>;
          const auto asleep = [](T one) { return one == 0; };
          if (layout_.program.clock_state < 0 || !std::all_of(panel, panel + size, asleep))
            sum_panel(p, {row, std::min(row + kBand, depth_)}, count, vectors, sums, panel);
          panel += size;
        }
      }
      token += count;
    }
  }

  // Adds the ranges up, this thread's share of the rows.
  void add_splits(const Team& team) const {
    const long rows = depth_ + 1;
    for (long split = 1; split < splits_; ++split)
      for (long row = team.first(rows); row < team.last(rows); ++row)
        add_row(sums_ + row * columns_, sums_ + (split * rows + row) * columns_, columns_);
  }

  // Hands block `column` to its owners.
  void finish(int column) const {
    const Call& call = layout_.call;
    const auto total = [&](long row, long unit) { return sums_[row * columns_ + column * layout_.width + unit]; };
    long row = 0;
    for (int k = 0; k < product_.terms; ++k) {
      if (!wanted(k)) continue;
      const Term& term = product_.term[k];
      const Matrix& m = call.weights_gradient[term.matrix];
      T* to = layout_.block(call.weights_gradient, term.matrix, term.block[column]);
      const long size = layout_.size_of(term.vector), units = layout_.rows_of(term.matrix);
      rearrange(to, m.column, m.row, sums_ + row * columns_ + column * layout_.width, columns_, 1, size, units);
      for (long j = 0; j < units && layout_.limits(term.matrix); ++j)
        for (long i = 0; i < size; ++i)
          if (!layout_.reach(j).holds(i)) to[j * m.row + i * m.column] = 0;
      row += size;
    }
    for (int side = 0; side < 2; ++side) {
      const int block = layout_.program.bias[side][product_.column + column];
      if (block < 0 || !call.bias_gradient[side]) continue;
      T* to = at<T>(call.bias_gradient[side]) + call.blocks[side][block] * call.units;
      for (long j = 0; j < call.units; ++j) to[j] = total(depth_, j);
    }
  }

 private:
  bool wanted(int term) const { return layout_.call.weights_gradient[product_.term[term].matrix].data != 0; }

  // Room for the vectors of a chunk, split.
  long left_size() const {
    long size = 0;
    for (int k = 0; k < product_.terms; ++k)
      if (wanted(k))
        size += rounded(layout_.size_of(product_.term[k].vector), kTileRows) * kSplitChunk * layout_.parts;
    return size;
  }

  // Tokens from..to, the first of them of step t, for vectors first..last, on the matrix unit.
  template <int parts>
  void sum_split(long from, long to, long t, long first, long last, T* sums, Half* packed) const {
    using V = Vector<T>;
    const long slot_row = layout_.program.slots * layout_.width, row = product_.column * layout_.width;
    Half* const right = packed + left_size();
    for (long token = from; token < to; token += kSplitChunk) {
      const long count = std::min(kSplitChunk, to - token), deep = tiles_deep(count), column = deep * parts * kTile;
      const T* entered[kTerms][kSplitChunk];
      for (long k = 0; k < count; ++k) {
        while (token + k >= layout_.tokens_before(t + 1)) ++t;
        for (int term = 0; term < product_.terms; ++term)
          if (wanted(term))
            entered[term][k] = vector(product_.term[term].vector, t, token + k - layout_.tokens_before(t));
      }
      for (long v = first; v < last; ++v) {
        const T* gradient = at<const T>(layout_.call.slots) + token * slot_row + row + v * lanes<V>;
        T* const bias = sums + depth_ * columns_ + v * lanes<V>;
        split_columns<parts>(gradient, slot_row, count, right + (v - first) * column);
        V sum = load<V>(bias);
        for (long k = 0; k < count; ++k) sum += load<V>(gradient + k * slot_row);
        store(bias, sum);
      }
      T* to_sums = sums + first * lanes<V>;
      Half* left = packed;
      for (int term = 0; term < product_.terms; ++term) {
        if (!wanted(term)) continue;
        const long size = layout_.size_of(product_.term[term].vector);
        split_turned<parts>(entered[term], count, size, left);
        const Left one{left, column, deep};
        multiply_rows<parts>(1, &one, size, right, column, last - first, to_sums, columns_, static_cast<const T*>(nullptr));
        left += rounded(size, kTileRows) * kSplitChunk * parts;
        to_sums += size * columns_;
      }
    }
  }

  // `count` vectors, null for zeros, as the columns of a left matrix.
  template <int parts>
  static void split_turned(const T* const* vectors, long count, long size, Half* to) {
    using V = Vector<T>;
    for (long entry = 0; entry < size; entry += kTileRows)
      for (long k = 0; k < count; k += kTileDepth, to += parts * kTile) {
        V low[kTileRows], high[kTileRows];
        const auto read = [&](V* rows, long from) {
          for (long j = 0; j < kTileRows; ++j) {
            const T* one = from + j < count ? vectors[from + j] : nullptr;
            rows[j] = one ? load_within<V>(one + entry, size - entry) : V{};
          }
          transpose_from<1>(rows);
        };
        read(low, k);
        read(high, k + kTileRows);
        for (long i = 0; i < kTileRows; ++i) split<parts>(low[i], high[i], to + i * kTileDepth, kTile);
      }
  }

  // What a row fed into the product at step t; null is zeros.
  const T* vector(int code, long t, long row) const {
    if (!layout_.runs(t, row)) return nullptr;
    if (code == 0) return layout_.of(layout_.call.x, t, row);
    if (code <= layout_.program.states) return layout_.before(code - 1, t, row);
    return layout_.slots(t, row) + layout_.program.vector_slot[code - 1 - layout_.program.states] * layout_.width;
  }

  // Copy the columns' gradients of a chunk into panels, row by row as they stand, and add them to the bias' gradient.
  void pack(long token, long count, long first, long last, T* sums, T* packed) const {
    using V = Vector<T>;
    const long begin = panels_.first(first), slot_row = layout_.program.slots * layout_.width;
    const T* gradient = at<const T>(layout_.call.slots) + token * slot_row + product_.column * layout_.width;
    T* bias = sums + depth_ * columns_;
    constexpr long kTogether = 4;  // rows at a time, so that the sums are fetched less often
    for (long k = 0; k < count; k += kTogether) {
      const long rows = std::min(kTogether, count - k);
      for (long p = first; p < last; ++p) {
        const int n = panels_.width(p);
        T* to = packed + ((panels_.first(p) - begin) * count + k * n) * lanes<V>;
        const long at_row = panels_.first(p) * lanes<V>;
        for (int v = 0; v < n; ++v) {
          V sum = load<V>(bias + at_row + v * lanes<V>);
          for (long j = 0; j < rows; ++j) {
            const V one = load<V>(gradient + (k + j) * slot_row + at_row + v * lanes<V>);
            store(to + (j * n + v) * lanes<V>, one);
            sum += one;
          }
          store(bias + at_row + v * lanes<V>, sum);
        }
      }
    }
  }

  void sum_panel(long p, const Range& band, long count, const T* vectors, T* sums, const T* panel) const {
    if (!layout_.call.reach) return sum_rows(p, band, count, vectors, sums, panel);
    constexpr long lane = lanes<Vector<T>>;
    const long first = panels_.first(p) % layout_.column_vectors, last = first + panels_.width(p);
    const bool one = last <= layout_.column_vectors;
    long row = 0;
    for (int k = 0; k < product_.terms; ++k) {
      if (!wanted(k)) continue;
      const Term& term = product_.term[k];
      const long size = layout_.size_of(term.vector);
      const Range read = layout_.read_by(term.matrix, one ? first * lane : 0, one ? last * lane : layout_.width, size);
      sum_rows(p, band.among({row + read.first, row + read.last}), count, vectors, sums, panel);
      row += size;
    }
  }

  void sum_rows(long p, const Range& rows, long count, const T* vectors, T* sums, const T* panel) const {
    const int n = panels_.width(p);
    T* c = sums + panels_.first(p) * lanes<Vector<T>>;
    const long size = rows.last - rows.first, pieces = (size + tile_rows(n) - 1) / tile_rows(n);
    for (long piece = 0; piece < pieces; ++piece) {
      const long row = rows.first + piece * size / pieces, next = rows.first + (piece + 1) * size / pieces;
      find_outer<T>(int(next - row), n)(vectors + row, vectors_row_, count, panel, c + row * columns_, columns_);
    }
  }

  const Layout<T>& layout_;
  const Product& product_;
  const Panels panels_;
  long columns_ = 0, depth_ = 0, vectors_row_ = 0, splits_ = 1;
  T* sums_ = nullptr;
};

template <class T>
void sum_weights(const WeightGradient<T>& weights, int columns, T* packed, const Team& team, std::atomic<long>& next) {
  const long splits = weights.splits();  // a power of two
  // as few ranges of panels as give every thread as many pieces as the others, since each lays out the vectors anew
  long ranges = splits >= 2 * team.size ? 1 : team.size;
  for (long half = splits; half % 2 == 0 && ranges % 2 == 0; half /= 2) ranges /= 2;
  ranges = std::min(weights.panels(), ranges);
  for (long item; (item = next.fetch_add(1)) < splits * ranges;) {
    const long split = item / ranges, range = item % ranges;
    weights.sum(split, range * weights.panels() / ranges, (range + 1) * weights.panels() / ranges, packed);
  }
  team.wait();
  if (splits > 1) {
    weights.add_splits(team);
    team.wait();
  }
  for (long column = team.first(columns); column < team.last(columns); ++column) weights.finish(int(column));
}

template <class T>
void sum_parameters(const Layout<T>& layout, const T* sums, const Team& team) {
  const long trained = layout.program.trained, each = layout.program.sums * layout.width;
  for (long k = team.first(trained); k < team.last(trained); ++k) {
    T* to = at<T>(layout.call.parameters_gradient[k]);
    if (!to) continue;
    copy_row<T>(to, nullptr, layout.call.units);
    if (layout.program.sum_of[k] < 0) continue;
    const T* from = sums + layout.program.sum_of[k] * layout.width;
    for (long group = 0; group < layout.groups(); ++group) add_row(to, from + group * each, layout.call.units);
  }
}

template <class T>
struct Backward {
  Matrices<T> matrices;
  T* sums;  // (group of rows, sum, width)

  Backward(const Layout<T>& layout, Carver& carver) : matrices(layout, true, carver) {
    sums = carver.array<T>(layout.groups() * layout.program.sums * layout.width);
  }
};

template <class T>
void backward(const Call& call, const Kernels<T>& kernels) {
  const Program& program = *kernels.program;
  const Layout<T> layout(call, program);
  thread_local Arena shared, blocks, sums;
  Carver counter;
  Backward<T>(layout, counter);
  Carver carver(shared.take(counter.used()));
  const Backward<T> pass(layout, carver);
  bool weights = call.bias_gradient[0] || call.bias_gradient[1];
  for (const Matrix& matrix : call.weights_gradient) weights |= matrix.data != 0;
  std::size_t largest = 0;
  for (int p = 0; p < program.products && weights; ++p) {
    Carver need;
    const WeightGradient<T> gradient(layout, program.product[p], need);
    for (int thread = 0; thread < call.threads; ++thread) need.array<T>(gradient.packed_size());
    largest = std::max(largest, need.used());
  }
  void* const memory = sums.take(largest);
  std::atomic<long> next[kColumns] = {};
  const std::unique_ptr<Meeting[]> meetings(new Meeting[call.threads]);
  bool enough = true;
  run_team(call.threads, [&](const Team& team) {
    const Division<T> division(layout, pass.matrices, team.size, true, false);
    if (team.rank == 0) enough = division.take(meetings.get(), blocks);  // the thread that calls
    pass.matrices.pack(layout, kernels.derive, team);
    const long size = program.sums * layout.width, first = team.first(layout.groups());
    std::memset(pass.sums + first * size, 0, (team.last(layout.groups()) - first) * size * sizeof(T));
    team.wait();
    if (!enough) return;
    for_blocks(division, team, meetings.get(), [&](const Block& block, const Scratch<T>& scratch, const Team& crew) {
      backward_block(layout, kernels, pass.matrices, scratch, pass.sums, block, crew);
    });
    for (int p = 0; p < program.products && weights; ++p) {
      team.wait();
      Carver places(memory);
      const WeightGradient<T> gradient(layout, program.product[p], places);
      T* packed = nullptr;
      for (int thread = 0; thread <= team.rank; ++thread) packed = places.array<T>(gradient.packed_size());
      sum_weights(gradient, program.product[p].columns, packed, team, next[p]);
    }
    if (program.trained) {
      team.wait();
      sum_parameters(layout, pass.sums, team);
    }
  });
  if (!enough) throw std::bad_alloc();
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
