// A cell over a whole sequence, forward and backward.
//
// Each thread takes blocks of batch rows through all the steps; a row never waits for another. Rows of a ragged batch are
// sorted by length, so that those alive at a step stand in front and padding is never computed.
#pragma once

#include "block.h"

namespace ostinato {
namespace OSTINATO_SET {

template <class T>
void forward_block(const Layout<T>& layout, const Kernels<T>& kernels, const Matrices<T>& matrices,
                   const Scratch<T>& scratch, const Block& block) {
  const Call& call = layout.call;
  const Program& program = layout.program;
  const long width = layout.width;
  Rows<T> rows = scratch.rows(layout, matrices);
  rows.slots_row = block.step * program.slots * width;
  Clock<T> clock(layout, matrices, scratch);

  std::memset(scratch.state, 0, block.count * program.states * width * sizeof(T));
  if (clock.ticks()) std::memset(scratch.products, 0, block.count * program.columns * width * sizeof(T));
  for (long j = 0; j < block.count; ++j)
    for (int s = 0; s < program.states; ++s)
      copy_row(scratch.state + (j * program.states + s) * width, layout.of(call.initial[s], block.row(j)),
               layout.state_size(s));

  Ahead<T> ahead(layout, matrices, scratch, block);
  const auto run_level = call.keep ? kernels.forward : kernels.infer;
  const int levels = call.keep ? program.forward_levels : program.infer_levels;
  for (long number = 0; number < call.steps; ++number) {
    const long t = layout.step_at(number), alive = block.among(layout.alive(t));
    T* const products = ahead.products(number);
    rows.products = products;
    if (alive > 0) {
      rows.step = T(call.first() + number);
      if (call.keep) rows.slots = layout.slots(t, block.first);
      scratch.read(layout, block, t, alive, true);
      clock.set(alive);
      for (int level = 0; level < levels;) {
        for (int p = 0; p < program.products; ++p) {
          const Product& product = program.product[p];
          if (product.level != level) continue;
          Operand<T> operands[kTerms] = {};
          for (int k = 0; k < product.terms; ++k) operands[k] = scratch.operand(layout, product.term[k].vector);
          T* to = products + product.column * width;
          if (!matrices.product_ranges[p]) {
            const bool begun = ahead.serves(product);
            const Range rest[2] = {{0, 0}, {0, operands[1].count}};
            if (!begun || product.terms > 1)
              multiply(matrices.product[p], product.terms, operands, alive, to, rows.products_row, begun,
                       begun ? rest : nullptr);
            continue;
          }
          const Panels panels(matrices.product[p].vectors);
          multiply_panels(matrices.product[p], product.terms, operands, alive, to, rows.products_row, false,
                          [&](long panel) -> const Range* {
                            if (clock.ticks() && !clock.wakes(panels, panel)) return kAsleep;
                            return matrices.product_ranges[p] + panel * product.terms;
                          });
        }
        int next = level + 1;
        while (next < levels && !multiplies(program, next)) ++next;
        for_runs(layout, block, t, alive,
                 [&](long first, long count) { run_levels(run_level, level, next, rows.part(first, count)); });
        level = next;
      }
    }
    for (long j = 0; j < (call.y[0].packed ? alive : block.count); ++j) {
      const T* state = scratch.state + j * program.states * width;
      const bool runs = j < alive && layout.runs(t, block.row(j));
      // units that sleep at the next step meet the products that are there: not those of garbage in the input
      if (clock.ticks() && j < alive && !runs)
        std::memset(scratch.products + j * rows.products_row, 0, rows.products_row * sizeof(T));
      for (int s = 0; s < program.states; ++s)
        if (call.y[s].data)
          copy_row(layout.of(call.y[s], t, block.row(j)), runs || call.repeat ? state + s * width : nullptr,
                   layout.state_size(s));
      if (call.keep && j < alive && !runs)
        for (int s = 1; s < program.states; ++s)
          copy_row(layout.slots(t, block.row(j)) + program.history[s] * width, state + s * width, width);
    }
  }
  for (long j = 0; j < block.count; ++j)
    for (int s = 0; s < program.states; ++s)
      if (call.final[s].data)
        copy_row(layout.of(call.final[s], block.row(j)), scratch.state + (j * program.states + s) * width,
                 layout.state_size(s));
}

template <class T>
void return_gradient(const Layout<T>& layout, const Matrices<T>& matrices, const Scratch<T>& scratch, int r,
                     const Clock<T>& clock, const T* slots, long slots_row, long rows) {
  const Program& program = layout.program;
  const Return& back = program.returned[r];
  Operand<T> operands[kColumns];
  for (int k = 0; k < back.count; ++k)
    operands[k] = {slots + back.column[k] * layout.width, slots_row, layout.rows_of(back.matrix[k])};
  T* to = scratch.input_gradient;
  long to_row = layout.input_width;
  if (back.vector > program.states) {
    to = scratch.carry + program.vector_return[back.vector - 1 - program.states] * layout.width;
    to_row = program.carries * layout.width;
  } else if (back.vector > 0) {
    to = scratch.gradient + (back.vector - 1) * layout.width;
    to_row = program.states * layout.width;
  }
  const bool is_state = back.vector > 0 && back.vector <= program.states;
  Range awake[kColumns];
  const bool adds = is_state || (!back.vector && program.input_gradient);
  if (!matrices.returned_ranges[r])
    return multiply(matrices.returned[r], back.count, operands, rows, to, to_row, adds, nullptr);
  multiply_panels(matrices.returned[r], back.count, operands, rows, to, to_row, adds, [&](long panel) -> const Range* {
    const Range* ranges = matrices.returned_ranges[r] + panel * back.count;
    if (!clock.ticks()) return ranges;
    for (int k = 0; k < back.count; ++k) awake[k] = clock.among(ranges[k]);
    return awake;
  });
}

// Cuts and clips the gradient of the states that the block's rows come into step t with.
template <class T>
class Bounds {
 public:
  Bounds(const Layout<T>& layout, const Block& block, T* gradient)
      : layout_(layout), block_(block), gradient_(gradient), row_(layout.program.states * layout.width) {}

  void apply(long t) const {
    const Call& call = layout_.call;
    if (call.clip > 0)
      for_runs(layout_, block_, t, block_.among(layout_.alive(t)), [&](long first, long count) {
        const T most = T(call.clip);
        for (T* one = gradient_ + first * row_; one < gradient_ + (first + count) * row_; ++one)
          *one = std::clamp(*one, -most, most);
      });
    const long border = call.reverse ? t + 1 : t;  // between the steps border - 1 and border
    const long whole = call.whole ? call.whole : call.steps, place = call.origin + border;
    if (!call.truncate || place % call.truncate || place == 0 || place == whole) return;
    const long rows = block_.among(std::min(layout_.alive(border - 1), layout_.alive(border)));
    for (long j = 0; j < rows; ++j)
      if (!call.mask || (runs(j, -call.origin, border) && runs(j, border, whole - call.origin)))
        std::memset(gradient_ + j * row_, 0, row_ * sizeof(T));
  }

 private:
  // Whether a row takes one of the steps first..last - 1.
  bool runs(long j, long first, long last) const {
    while (first < last && !layout_.runs(first, block_.row(j))) ++first;
    return first < last;
  }

  const Layout<T>& layout_;
  const Block& block_;
  T* const gradient_;
  const long row_;
};

template <class T>
void backward_block(const Layout<T>& layout, const Kernels<T>& kernels, const Matrices<T>& matrices,
                    const Scratch<T>& scratch, T* sums, const Block& block) {
  const Call& call = layout.call;
  const Program& program = layout.program;
  const long width = layout.width;
  Rows<T> rows = scratch.rows(layout, matrices);
  rows.slots_row = block.step * program.slots * width;
  rows.together = layout.together;
  rows.sums = sums + block.first / layout.together * program.sums * width;
  rows.sums_row = block.step * program.sums * width;

  std::memset(scratch.state, 0, block.count * program.states * width * sizeof(T));
  std::memset(scratch.gradient, 0, block.count * program.states * width * sizeof(T));
  // all that a cell without W gives x
  std::memset(scratch.input_gradient, 0, block.count * layout.input_width * sizeof(T));
  Clock<T> clock(layout, matrices, scratch);
  const Bounds<T> bounds(layout, block, scratch.gradient);
  for (long j = 0; j < block.count; ++j)
    for (int s = 0; s < program.states; ++s)
      copy_row(scratch.gradient + (j * program.states + s) * width, layout.of(call.final_gradient[s], block.row(j)),
               layout.state_size(s));

  for (long number = call.steps - 1; number >= 0; --number) {
    const long t = layout.step_at(number), alive = block.among(layout.alive(t));
    for (int s = 0; s < program.states; ++s)
      for (long j = 0; call.y_gradient[s].data && j < (call.repeat ? block.count : alive); ++j)
        if (call.repeat || layout.runs(t, block.row(j)))
          add_row(scratch.gradient + (j * program.states + s) * width, layout.of(call.y_gradient[s], t, block.row(j)),
                  layout.state_size(s));
    for (int s = 0; s < program.states; ++s)
      for (long j = 0; call.flow[s].data && j < alive; ++j)
        copy_row(layout.of(call.flow[s], t, block.row(j)), scratch.gradient + (j * program.states + s) * width,
                 layout.state_size(s));
    if (!call.x.packed)
      for (long j = alive; j < block.count; ++j) {
        if (call.x_gradient.data && !call.add_to_x_gradient)
          copy_row<T>(layout.of(call.x_gradient, t, block.row(j)), nullptr, call.input_size);
        for (int s = 0; s < program.sequences; ++s)
          if (call.sequences_gradient[s].data)
            copy_row<T>(layout.of(call.sequences_gradient[s], t, block.row(j)), nullptr, call.units);
      }
    if (alive == 0) continue;

    rows.step = T(call.first() + number);
    rows.slots = layout.slots(t, block.first);
    rows.following = number > 0 ? layout.slots(layout.step_at(number - 1), block.first) : rows.slots;
    for (long j = 0; j < alive; ++j) {
      for (int s = 0; s < program.states; ++s)
        if (program.needed_states[s])
          copy_row(scratch.state + (j * program.states + s) * width, layout.before(s, t, block.row(j)),
                   layout.state_size(s));
      if (!layout.runs(t, block.row(j))) {
        std::memset(rows.slots + j * rows.slots_row, 0, program.columns * width * sizeof(T));
        std::memset(scratch.input_gradient + j * layout.input_width, 0, layout.input_width * sizeof(T));
        std::memset(scratch.sequence_gradients + j * program.sequences * width, 0, program.sequences * width * sizeof(T));
      }
    }
    scratch.read(layout, block, t, alive, program.reads_input);
    clock.set(alive);
    for (int level = 0; level <= program.backward_levels;) {
      for (int r = 0; r < program.returns; ++r)
        if (program.returned[r].level == level && matrices.returned[r].vectors)
          return_gradient(layout, matrices, scratch, r, clock, rows.slots, rows.slots_row, alive);
      int next = level + 1;
      while (next < program.backward_levels && !returns(program, next)) ++next;
      if (level < program.backward_levels)
        for_runs(layout, block, t, alive,
                 [&](long first, long count) { run_levels(kernels.backward, level, next, rows.part(first, count)); });
      level = next;
    }
    for (long j = 0; j < alive; ++j) {
      if (call.x_gradient.data) {
        T* to = layout.of(call.x_gradient, t, block.row(j));
        const T* from = scratch.input_gradient + j * layout.input_width;
        call.add_to_x_gradient ? add_row(to, from, call.input_size) : copy_row(to, from, call.input_size);
      }
      for (int s = 0; s < program.sequences; ++s)
        if (call.sequences_gradient[s].data)
          copy_row(layout.of(call.sequences_gradient[s], t, block.row(j)),
                   program.sequence_gradient[s] ? scratch.sequence_gradients + (j * program.sequences + s) * width : nullptr,
                   call.units);
    }
    bounds.apply(t);
  }
  for (long j = 0; j < block.count; ++j)
    for (int s = 0; s < program.states; ++s)
      if (call.initial_gradient[s].data)
        copy_row(layout.of(call.initial_gradient[s], block.row(j)), scratch.gradient + (j * program.states + s) * width,
                 layout.state_size(s));
}

// The rows of one thread, in blocks whose products fit its second-level cache.
template <class T, class Work>
void for_blocks(const Layout<T>& layout, const Team& team, Work work) {
  const Call& call = layout.call;
  const bool ragged = call.alive != 0;  // rows of like length to every thread
  const long together = layout.together, groups = layout.groups();
  const long first = ragged ? team.rank : team.first(groups) * together;
  const long step = ragged ? team.size : 1;
  const long count = ragged ? (call.batch - team.rank + team.size - 1) / team.size
                            : std::min(team.last(groups) * together, call.batch) - first;
  if (count <= 0) return;
  const long row_bytes = layout.program.columns * layout.width * long(sizeof(T));
  const long most = std::clamp(131072 / row_bytes, 24L, 96L);
  const long pieces = (count + most - 1) / most;
  thread_local Arena arena;
  const long parts = (count + together - 1) / together;
  for (long piece = 0; piece < pieces; ++piece) {
    const long from = piece * parts / pieces * together, to = std::min((piece + 1) * parts / pieces * together, count);
    if (from == to) continue;
    work(Block{first + from * step, step, to - from}, arena);
  }
}

template <class T>
void forward(const Call& call, const Kernels<T>& kernels) {
  const Layout<T> layout(call, *kernels.program);
  thread_local Arena shared;
  Carver counter;
  Matrices<T>(layout, false, counter);
  Carver carver(shared.take(counter.used()));
  const Matrices<T> matrices(layout, false, carver);
  run_team(call.threads, [&](const Team& team) {
    matrices.pack(layout, kernels.derive, team);
    team.wait();
    for_blocks(layout, team, [&](const Block& block, Arena& arena) {
      Carver need;
      Scratch<T>(layout, block.count, false, need);
      Carver own(arena.take(need.used()));
      forward_block(layout, kernels, matrices, Scratch<T>(layout, block.count, false, own), block);
    });
  });
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
