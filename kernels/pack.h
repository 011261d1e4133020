// The weights of a call, packed for products.
#pragma once

#include "layout.h"
#include "team.h"
#include "transpose.h"

namespace ostinato {
namespace OSTINATO_SET {

// to[k][n] = from[k * by_k + n * by_n], n < count, zero in the other lanes
template <class T>
void pack_vector(T* to, long to_row, const T* from, long by_k, long by_n, long depth, long count) {
  rearrange(to, to_row, 1, from, by_k, by_n, depth, count);
  for (long k = 0; k < depth; ++k)
    for (long n = count; n < lanes<Vector<T>>; ++n) to[k * to_row + n] = 0;
}

// Pack a product of the forward step, vector by vector: panels of the columns' units, all terms' rows below the bias.
template <class T>
void pack_product(const Layout<T>& layout, const Product& product, const Packed<T>& packed, Range* ranges, long panel) {
  constexpr long lane = lanes<Vector<T>>;
  const Panels panels(packed.vectors);
  const long ld = panels.width(panel) * lane;
  T* start = packed.panel(panels.first(panel));
  for (int k = 0; k < product.terms && ranges; ++k) {
    const long first = panels.first(panel) % layout.column_vectors, last = first + panels.width(panel);
    const bool one = last <= layout.column_vectors;  // the panel lies within one column
    ranges[k] = layout.read_by(product.term[k].matrix, one ? first * lane : 0, one ? last * lane : layout.width,
                               layout.size_of(product.term[k].vector));
  }
  for (long v = 0; v < panels.width(panel); ++v) {
    const long vector = panels.first(panel) + v, column = vector / layout.column_vectors;
    const long unit = vector % layout.column_vectors * lane;
    const long count = std::clamp(layout.rows_of(product.term[0].matrix) - unit, 0L, lane);
    T* to = start + v * lane;
    for (long n = 0; n < lane; ++n) {
      T sum = 0;
      for (int side = 0; side < 2; ++side) {
        const int block = layout.program.bias[side][product.column + column];
        if (n < count && block >= 0 && layout.call.bias[side])
          sum += at<const T>(layout.call.bias[side])[layout.call.blocks[side][block] * layout.call.units + unit + n];
      }
      to[n] = sum;
    }
    to += ld;
    for (int k = 0; k < product.terms; ++k) {
      const Term& term = product.term[k];
      const Matrix& m = layout.call.weights[term.matrix];
      const long depth = layout.size_of(term.vector);
      const T* from = layout.block(layout.call.weights, term.matrix, term.block[column]) + unit * m.row;
      pack_vector(to, ld, from, m.column, m.row, depth, count);
      for (long i = 0; i < depth && layout.limits(term.matrix); ++i)
        for (long n = 0; n < count; ++n)
          if (!layout.reach(unit + n).holds(i)) to[i * ld + n] = 0;
      to += depth * ld;
    }
  }
}

// Pack the transposed blocks through which a gradient returns.
template <class T>
void pack_return(const Layout<T>& layout, const Return& back, const Packed<T>& packed, Range* ranges, long panel) {
  constexpr long lane = lanes<Vector<T>>;
  const Panels panels(packed.vectors);
  const long ld = panels.width(panel) * lane;
  for (int k = 0; k < back.count && ranges; ++k) {
    const long first = panels.first(panel) * lane;
    ranges[k] = layout.readers_of(back.matrix[k], first, first + ld, layout.rows_of(back.matrix[k]));
  }
  for (long v = 0; v < panels.width(panel); ++v) {
    const long first = (panels.first(panel) + v) * lane;
    const long count = std::clamp(layout.size_of(back.vector) - first, 0L, lane);
    T* to = packed.panel(panels.first(panel)) + v * lane;
    std::memset(to, 0, lane * sizeof(T));
    to += ld;
    for (int k = 0; k < back.count; ++k) {
      const Matrix& m = layout.call.weights[back.matrix[k]];
      const long rows = layout.rows_of(back.matrix[k]);
      const T* from = layout.block(layout.call.weights, back.matrix[k], back.block[k]) + first * m.column;
      pack_vector(to, ld, from, m.row, m.column, rows, count);
      for (long u = 0; u < rows && layout.limits(back.matrix[k]); ++u)
        for (long n = 0; n < count; ++n)
          if (!layout.reach(u).holds(first + n)) to[u * ld + n] = 0;
      to += rows * ld;
    }
  }
}

// Makes entries first..last - 1 of the vectors that stand behind a cell's parameters, out of these.
template <class T>
using Derive = void (*)(T* parameters, long width, long first, long last);

// The matrices of one pass, packed by all threads together.
template <class T>
struct Matrices {
  Packed<T> product[kColumns], returned[kColumns];
  Range *product_ranges[kColumns] = {}, *returned_ranges[kColumns] = {};  // [panel][term] where not everything is read
  T* parameters = nullptr;  // and what is derived of them

  Matrices(const Layout<T>& layout, bool backward, Carver& carver) {
    const Program& program = layout.program;
    constexpr long lane = lanes<Vector<T>>;
    for (int p = 0; p < program.products && !backward; ++p) {
      const Product& it = program.product[p];
      long depth = 0;
      for (int k = 0; k < it.terms; ++k) depth += layout.size_of(it.term[k].vector);
      const long vectors = it.columns * layout.column_vectors;
      product[p] = {carver.array<T>(Packed<T>::size(vectors, depth)), vectors, depth};
      if (layout.call.reach || program.clock_state >= 0)
        product_ranges[p] = carver.array<Range>(Panels(vectors).count * it.terms);
    }
    for (int r = 0; r < program.returns && backward; ++r) {
      const Return& it = program.returned[r];
      if (it.vector == 0 && !layout.call.x_gradient.data) continue;
      long depth = 0;
      for (int k = 0; k < it.count; ++k) depth += layout.rows_of(it.matrix[k]);
      const long vectors = rounded(layout.size_of(it.vector), lane) / lane;
      returned[r] = {carver.array<T>(Packed<T>::size(vectors, depth)), vectors, depth};
      if (layout.call.reach || program.clock_state >= 0)
        returned_ranges[r] = carver.array<Range>(Panels(vectors).count * it.count);
    }
    parameters = carver.array<T>((program.parameters + program.derived) * layout.width);
  }

  // What a step reads of them.
  long bytes() const {
    long numbers = 0;
    for (const Packed<T>& one : product) numbers += Packed<T>::size(one.vectors, one.depth);
    for (const Packed<T>& one : returned) numbers += Packed<T>::size(one.vectors, one.depth);
    return numbers * long(sizeof(T));
  }

  // Called by every thread of a team; the matrices are there once all have met.
  void pack(const Layout<T>& layout, Derive<T> derive, const Team& team) const {
    const Program& program = layout.program;
    for (int p = 0; p < program.products; ++p) {
      if (!product[p].vectors) continue;
      const long panels = Panels(product[p].vectors).count;
      for (long panel = team.first(panels); panel < team.last(panels); ++panel)
        pack_product(layout, program.product[p], product[p],
                     product_ranges[p] ? product_ranges[p] + panel * program.product[p].terms : nullptr, panel);
    }
    for (int r = 0; r < program.returns; ++r) {
      if (!returned[r].vectors) continue;
      const long panels = Panels(returned[r].vectors).count;
      for (long panel = team.first(panels); panel < team.last(panels); ++panel)
        pack_return(layout, program.returned[r], returned[r],
                    returned_ranges[r] ? returned_ranges[r] + panel * program.returned[r].count : nullptr, panel);
    }
    constexpr long lane = lanes<Vector<T>>;
    const long first = team.first(layout.column_vectors) * lane, last = team.last(layout.column_vectors) * lane;
    const long units = std::clamp(layout.call.units - first, 0L, last - first);
    for (int k = 0; k < program.parameters; ++k) {
      T* to = parameters + k * layout.width + first;
      copy_row(to, at<const T>(layout.call.parameters[k]) + first, units);
      copy_row<T>(to + units, nullptr, last - first - units);
    }
    if (program.derived) derive(parameters, layout.width, first, last);
  }
};

}  // namespace OSTINATO_SET
}  // namespace ostinato
