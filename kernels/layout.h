// Where everything stands in a call: rows, steps, states and weights.
#pragma once

#include <algorithm>
#include <cstring>

#include "call.h"
#include "product.h"

namespace ostinato {
namespace OSTINATO_SET {

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

inline long rounded(long count, long to) { return (count + to - 1) / to * to; }

// Batch rows first, first + step, ... (`count` of them) in the order of the sorted rows.
struct Block {
  long first, step, count;
  long row(long j) const { return first + j * step; }
  // how many of the block's rows are among the first `alive`
  long among(long alive) const { return std::clamp((alive - first + step - 1) / step, 0L, count); }
  // The rows that one thread of a crew sees to; those that belong together have one thread.
  Range share(const Team& crew, long together) const {
    const long groups = (count + together - 1) / together;
    return {crew.first(groups) * together, std::min(crew.last(groups) * together, count)};
  }
};

// Where everything stands: the addresses of a call, by step and sorted row.
template <class T>
class Layout {
 public:
  using V = Vector<T>;
  const Call& call;
  const Program& program;
  const long width, input_width, column_vectors;  // all vectors of a step are as wide as its widest
  // Rows that follow each other and add to the same sums of the per-unit vectors' gradients: by the shapes alone, so
  // that the result does not depend on the threads.
  const long together;
  const int parts;  // as the call says, where the matrix unit serves

  Layout(const Call& call, const Program& program)
      : call(call),
        program(program),
        width(rounded(program.input_wide ? std::max(call.units, call.input_size) : call.units, lanes<V>)),
        input_width(program.reads_input ? width : rounded(call.input_size, lanes<V>)),
        column_vectors(width / lanes<V>),
        together(program.sums && !call.alive && call.batch >= 32 ? 8 : 1),
        parts(kTiles<T> && !partial() ? call.parts : 0) {}

  // Whether some products leave out parts of their vectors.
  bool partial() const { return call.reach || program.clock_state >= 0; }

  long groups() const { return (call.batch + together - 1) / together; }

  long size(int name) const {
    return name == kInput ? call.input_size : name == kUnits ? call.units : call.projection;
  }
  long state_size(int state) const { return size(program.state_size[state]); }
  long rows_of(int matrix) const { return size(program.matrix_rows[matrix]); }
  // of a vector that enters a product
  long size_of(int vector) const {
    if (vector == 0) return call.input_size;
    if (vector <= program.states) return state_size(vector - 1);
    return size(program.vector_size[vector - 1 - program.states]);
  }

  long original(long row) const { return call.order ? at<const long>(call.order)[row] : row; }
  long alive(long t) const { return call.alive ? at<const long>(call.alive)[t] : call.batch; }
  long tokens_before(long t) const {
    return call.tokens ? at<const long>(call.tokens)[t] - at<const long>(call.tokens)[0] : t * call.batch;
  }
  long tokens() const { return tokens_before(call.steps); }
  long step_at(long number) const { return call.reverse ? call.steps - 1 - number : number; }
  bool runs(long t, long row) const {
    return !call.mask || at<const bool>(call.mask)[original(row) * call.mask_row + t * call.mask_step];
  }

  T* of(const Sequence& sequence, long t, long row) const {
    if (sequence.packed) return at<T>(sequence.data) + (tokens_before(t) + row) * sequence.row;
    return at<T>(sequence.data) + t * sequence.step + original(row) * sequence.row;
  }
  T* slots(long t, long row) const {
    return at<T>(call.slots) + (tokens_before(t) + row) * program.slots * width;
  }
  T* of(const Matrix& matrix, long row) const {
    return matrix.data ? at<T>(matrix.data) + original(row) * matrix.row : nullptr;
  }

  // State s of a row before step t; null is zeros.
  const T* before(int s, long t, long row) const {
    const long previous = call.reverse ? t + 1 : t - 1;
    if (previous < 0 || previous >= call.steps || row >= alive(previous)) return of(call.initial[s], row);
    if (s == 0) return of(call.y[0], previous, row);
    return slots(previous, row) + program.history[s] * width;
  }

  // The elements of block `block` of a weight matrix, or of its gradient, start here.
  T* block(const Matrix* matrices, int matrix, int block) const {
    const Matrix& m = matrices[matrix];
    return at<T>(m.data) + (matrix < 2 ? call.blocks[matrix][block] * call.units * m.row : 0);
  }

  // The entries that units first..last - 1 read of a vector of `size` entries.
  Range read_by(int matrix, long first, long last, long size) const {
    if (!limits(matrix)) return {0, size};
    Range range{size, 0};
    for (long u = first; u < std::min(last, call.units); ++u) widen(range, reach(u));
    return range.first < range.last ? range : Range{0, 0};
  }
  // The units that read entries first..last - 1.
  Range readers_of(int matrix, long first, long last, long rows) const {
    if (!limits(matrix)) return {0, rows};
    Range range{rows, 0};
    for (long u = 0; u < rows; ++u)
      if (reach(u).first < last && first < reach(u).last) widen(range, {u, u + 1});
    return range.first < range.last ? range : Range{0, 0};
  }
  bool limits(int matrix) const { return matrix == 1 && call.reach; }
  Range reach(long unit) const {
    const long* both = at<const long>(call.reach) + 2 * unit;
    return {both[0], both[1]};
  }

 private:
  static void widen(Range& range, Range by) {
    if (by.first >= by.last) return;
    range = {std::min(range.first, by.first), std::max(range.last, by.last)};
  }
};

// Copies a row; null is zeros. A few vectors are copied in less time than a call takes.
template <class T>
void copy_row(T* to, const T* from, long count) {
  using V = Vector<T>;
  if (!from) {
    std::memset(to, 0, count * sizeof(T));
  } else if (count < lanes<V> || count > 8 * lanes<V>) {
    std::memcpy(to, from, count * sizeof(T));
  } else {
    for (long k = 0; k + lanes<V> < count; k += lanes<V>) store(to + k, load<V>(from + k));
    store(to + count - lanes<V>, load<V>(from + count - lanes<V>));
  }
}

template <class T>
void add_row(T* to, const T* from, long count) {
  for (long k = 0; k < count; ++k) to[k] += from[k];
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
