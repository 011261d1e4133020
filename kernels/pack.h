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

// Pack a panel of a product of the forward step, vector by vector: its columns' units, all terms' rows below the bias.
template <class T>
void pack_product(const Layout<T>& layout, const Product& product, const Panels& panels, long panel, T* start,
                  Range* ranges) {
  constexpr long lane = lanes<Vector<T>>;
  const long ld = panels.width(panel) * lane;
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

// Pack a panel of the transposed blocks through which a gradient returns.
template <class T>
void pack_return(const Layout<T>& layout, const Return& back, const Panels& panels, long panel, T* start, Range* ranges) {
  constexpr long lane = lanes<Vector<T>>;
  const long ld = panels.width(panel) * lane;
  for (int k = 0; k < back.count && ranges; ++k) {
    const long first = panels.first(panel) * lane;
    ranges[k] = layout.readers_of(back.matrix[k], first, first + ld, layout.rows_of(back.matrix[k]));
  }
  for (long v = 0; v < panels.width(panel); ++v) {
    const long first = (panels.first(panel) + v) * lane;
    const long count = std::clamp(layout.size_of(back.vector) - first, 0L, lane);
    T* to = start + v * lane;
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

// Take a packed panel apart for the matrix unit. `sizes` are those of the terms, whose rows follow each other.
template <int parts, class T>
void split_panel(const T* panel, const Panels& panels, long number, int terms, const long* sizes, const Packed<T>& to) {
  constexpr long lane = lanes<Vector<T>>;
  const long ld = panels.width(number) * lane;
  for (long v = 0; v < panels.width(number); ++v) {
    const long vector = panels.first(number) + v;
    const T* from = panel + v * lane;
    copy_row(to.data + vector * lane, from, lane);
    from += ld;
    Half* tiles = to.tiles + vector * to.column();
    for (int k = 0; k < terms; ++k) {
      split_columns<parts>(from, ld, sizes[k], tiles);
      tiles += tiles_deep(sizes[k]) * parts * kTile;
      from += sizes[k] * ld;
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
    for (int p = 0; p < program.products && !backward; ++p) {
      const Product& it = program.product[p];
      long sizes[kTerms];
      for (int k = 0; k < it.terms; ++k) sizes[k] = layout.size_of(it.term[k].vector);
      product[p] = room(layout, it.columns * layout.column_vectors, it.terms, sizes, carver);
      if (layout.partial()) product_ranges[p] = carver.array<Range>(Panels(product[p].vectors).count * it.terms);
    }
    for (int r = 0; r < program.returns && backward; ++r) {
      const Return& it = program.returned[r];
      if (it.vector == 0 && !layout.call.x_gradient.data) continue;
      long sizes[kColumns];
      for (int k = 0; k < it.count; ++k) sizes[k] = layout.rows_of(it.matrix[k]);
      const long vectors = rounded(layout.size_of(it.vector), lanes<Vector<T>>) / lanes<Vector<T>>;
      returned[r] = room(layout, vectors, it.count, sizes, carver);
      if (layout.partial()) returned_ranges[r] = carver.array<Range>(Panels(vectors).count * it.count);
    }
    parameters = carver.array<T>((program.parameters + program.derived) * layout.width);
    if (layout.parts)
      for (int thread = 0; thread < layout.call.threads; ++thread) {
        T* const place = carver.array<T>(largest_);
        if (thread == 0) panels_ = place;
      }
  }

  // What a step reads of them.
  long bytes() const {
    long bytes = 0;
    for (const Packed<T>& one : product) bytes += one.bytes();
    for (const Packed<T>& one : returned) bytes += one.bytes();
    return bytes;
  }

  // Called by every thread of a team; the matrices are there once all have met.
  void pack(const Layout<T>& layout, Derive<T> derive, const Team& team) const {
    const Program& program = layout.program;
    for (int p = 0; p < program.products; ++p) {
      const Product& it = program.product[p];
      long sizes[kTerms];
      for (int k = 0; k < it.terms; ++k) sizes[k] = layout.size_of(it.term[k].vector);
      pack(product[p], product_ranges[p], it.terms, sizes, team, [&](const Panels& panels, long panel, T* to, Range* ranges) {
        pack_product(layout, it, panels, panel, to, ranges);
      });
    }
    for (int r = 0; r < program.returns; ++r) {
      const Return& it = program.returned[r];
      long sizes[kColumns];
      for (int k = 0; k < it.count; ++k) sizes[k] = layout.rows_of(it.matrix[k]);
      pack(returned[r], returned_ranges[r], it.count, sizes, team,
           [&](const Panels& panels, long panel, T* to, Range* ranges) {
             pack_return(layout, it, panels, panel, to, ranges);
           });
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

 private:
  Packed<T> room(const Layout<T>& layout, long vectors, int terms, const long* sizes, Carver& carver) {
    Packed<T> packed;
    packed.vectors = vectors;
    packed.parts = layout.parts;
    for (int k = 0; k < terms; ++k) {
      packed.depth += sizes[k];
      packed.deep += tiles_deep(sizes[k]);
    }
    packed.data = carver.array<T>(layout.parts ? vectors * lanes<Vector<T>> : Packed<T>::size(vectors, packed.depth));
    if (layout.parts) packed.tiles = carver.array<Half>(vectors * packed.column());
    largest_ = std::max(largest_, Packed<T>::size(kMostVectors, packed.depth));
    return packed;
  }

  template <class Pack>
  void pack(const Packed<T>& packed, Range* ranges, int terms, const long* sizes, const Team& team, Pack pack_panel) const {
    if (!packed.vectors) return;
    const Panels panels(packed.vectors);
    for (long panel = team.first(panels.count); panel < team.last(panels.count); ++panel) {
      T* const to = packed.parts ? panels_ + team.rank * rounded(largest_, 64 / sizeof(T)) : packed.panel(panels.first(panel));
      pack_panel(panels, panel, to, ranges ? ranges + panel * terms : nullptr);
      if constexpr (kTiles<T>) {
        if (packed.parts)
          with_parts(packed.parts, [&](auto parts) { split_panel<parts>(to, panels, panel, terms, sizes, packed); });
      }
    }
  }

  long largest_ = 0;     // panel, in numbers
  T* panels_ = nullptr;  // one for each thread, where they are taken apart
};

}  // namespace OSTINATO_SET
}  // namespace ostinato
