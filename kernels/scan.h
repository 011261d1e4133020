// A cell over a whole sequence, forward and backward: blocks of batch rows go through all the steps. Rows of a ragged batch
// are sorted by length, so that those alive at a step stand in front and padding is never computed.
#pragma once

#include "crew.h"

namespace ostinato {
namespace OSTINATO_SET {

template <class T>
void zero_rows(T* to, long row, const Range& rows) {
  if (rows.first < rows.last) std::memset(to + rows.first * row, 0, (rows.last - rows.first) * row * sizeof(T));
}

template <class T>
void forward_block(const Layout<T>& layout, const Kernels<T>& kernels, const Matrices<T>& matrices,
                   const Scratch<T>& scratch, const Block& block, const Team& crew) {
  const Call& call = layout.call;
  const Program& program = layout.program;
  const long width = layout.width;
  const Range mine = block.share(crew, layout.together);
  Rows<T> rows = scratch.rows(layout, matrices, crew);
  rows.slots_row = block.step * program.slots * width;
  Clock<T> clock(layout, matrices, scratch);

  zero_rows(scratch.state, program.states * width, mine);
  if (clock.ticks()) zero_rows(scratch.products, program.columns * width, mine);
  for (long j = mine.first; j < mine.last; ++j)
    for (int s = 0; s < program.states; ++s)
      copy_row(scratch.state + (j * program.states + s) * width, layout.of(call.initial[s], block.row(j)),
               layout.state_size(s));

  Splits<T> splits = scratch.splits_of(crew);
  Ahead<T> ahead(layout, matrices, scratch, block, crew, splits);
  const auto run_level = call.keep ? kernels.forward : kernels.infer;
  const int levels = call.keep ? program.forward_levels : program.infer_levels;
  for (long number = 0; number < call.steps; ++number) {
    const long t = layout.step_at(number), alive = block.among(layout.alive(t));
    const bool turned = (call.first() + number) % 2;
    const Range running = mine.below(alive);
    T* const products = ahead.products(number);
    rows.products = products;
    if (alive > 0) {
      rows.step = T(call.first() + number);
      if (call.keep) rows.slots = layout.slots(t, block.first);
      scratch.read(layout, block, t, running, true);
      clock.set(alive);
      for (int level = 0; level < levels;) {
        crew.wait();
        splits.forget();
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
                       begun ? rest : nullptr, crew, splits, turned);
            continue;
          }
          const Panels panels(matrices.product[p].vectors);
          multiply_panels(matrices.product[p], product.terms, operands, alive, to, rows.products_row, false, crew,
                          [&](long panel) -> const Range* {
                            if (clock.ticks() && !clock.wakes(panels, panel)) return kAsleep;
                            return matrices.product_ranges[p] + panel * product.terms;
                          });
        }
        int next = level + 1;
        while (next < levels && !multiplies(program, next)) ++next;
        crew.wait();
        for_runs(layout, block, t, running,
                 [&](long first, long count) { run_levels(run_level, level, next, rows.part(first, count)); });
        level = next;
      }
    }
    for (long j = mine.first; j < (call.y[0].packed ? running.last : mine.last); ++j) {
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
  for (long j = mine.first; j < mine.last; ++j)
    for (int s = 0; s < program.states; ++s)
      if (call.final[s].data)
        copy_row(layout.of(call.final[s], block.row(j)), scratch.state + (j * program.states + s) * width,
                 layout.state_size(s));
}

template <class T>
void return_gradient(const Layout<T>& layout, const Matrices<T>& matrices, const Scratch<T>& scratch, int r,
                     const Clock<T>& clock, const T* slots, long slots_row, long rows, const Team& crew, Splits<T>& splits,
                     bool turned) {
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
    return multiply(matrices.returned[r], back.count, operands, rows, to, to_row, adds, nullptr, crew, splits,
                    turned);
  const auto ranges_of = [&](long panel) -> const Range* {
    const Range* ranges = matrices.returned_ranges[r] + panel * back.count;
    if (!clock.ticks()) return ranges;
    for (int k = 0; k < back.count; ++k) awake[k] = clock.among(ranges[k]);
    return awake;
  };
  multiply_panels(matrices.returned[r], back.count, operands, rows, to, to_row, adds, crew, ranges_of);
}

// Cuts and clips the gradient of the states that the block's rows come into step t with.
template <class T>
class Bounds {
 public:
  Bounds(const Layout<T>& layout, const Block& block, T* gradient)
      : layout_(layout), block_(block), gradient_(gradient), row_(layout.program.states * layout.width) {}

  void apply(long t, const Range& mine) const {
    const Call& call = layout_.call;
    if (call.clip > 0)
      for_runs(layout_, block_, t, mine.below(block_.among(layout_.alive(t))), [&](long first, long count) {
        const T most = T(call.clip);
        for (T* one = gradient_ + first * row_; one < gradient_ + (first + count) * row_; ++one)
          *one = std::clamp(*one, -most, most);
      });
    const long border = call.reverse ? t + 1 : t;  // between the steps border - 1 and border
    const long whole = call.whole ? call.whole : call.steps, place = call.origin + border;
    if (!call.truncate || place % call.truncate || place == 0 || place == whole) return;
    const Range rows = mine.below(block_.among(std::min(layout_.alive(border - 1), layout_.alive(border))));
    for (long j = rows.first; j < rows.last; ++j)
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
                    const Scratch<T>& scratch, T* sums, const Block& block, const Team& crew) {
  const Call& call = layout.call;
  const Program& program = layout.program;
  const long width = layout.width;
  const Range mine = block.share(crew, layout.together);
  Rows<T> rows = scratch.rows(layout, matrices, crew);
  rows.slots_row = block.step * program.slots * width;
  rows.together = layout.together;
  rows.sums = sums + block.first / layout.together * program.sums * width;
  rows.sums_row = block.step * program.sums * width;

  zero_rows(scratch.state, program.states * width, mine);
  zero_rows(scratch.gradient, program.states * width, mine);
  zero_rows(scratch.input_gradient, layout.input_width, mine);  // all that a cell without W gives x
  Clock<T> clock(layout, matrices, scratch);
  const Bounds<T> bounds(layout, block, scratch.gradient);
  Splits<T> splits = scratch.splits_of(crew);
  const Behind<T> behind(layout, matrices, scratch, block, crew, splits);
  for (long j = mine.first; j < mine.last; ++j)
    for (int s = 0; s < program.states; ++s)
      copy_row(scratch.gradient + (j * program.states + s) * width, layout.of(call.final_gradient[s], block.row(j)),
               layout.state_size(s));

  for (long number = call.steps - 1; number >= 0; --number) {
    const long t = layout.step_at(number), alive = block.among(layout.alive(t));
    const bool turned = number % 2;
    const Range running = mine.below(alive);
    for (int s = 0; s < program.states; ++s)
      for (long j = mine.first; call.y_gradient[s].data && j < (call.repeat ? mine.last : running.last); ++j)
        if (call.repeat || layout.runs(t, block.row(j)))
          add_row(scratch.gradient + (j * program.states + s) * width, layout.of(call.y_gradient[s], t, block.row(j)),
                  layout.state_size(s));
    for (int s = 0; s < program.states; ++s)
      for (long j = running.first; call.flow[s].data && j < running.last; ++j)
        copy_row(layout.of(call.flow[s], t, block.row(j)), scratch.gradient + (j * program.states + s) * width,
                 layout.state_size(s));
    if (!call.x.packed)
      for (long j = running.last; j < mine.last; ++j) {
        if (call.x_gradient.data && !call.add_to_x_gradient)
          copy_row<T>(layout.of(call.x_gradient, t, block.row(j)), nullptr, call.input_size);
        for (int s = 0; s < program.sequences; ++s)
          if (call.sequences_gradient[s].data)
            copy_row<T>(layout.of(call.sequences_gradient[s], t, block.row(j)), nullptr, call.units);
      }
    if (alive == 0) {
      behind.follow(number);
      continue;
    }

    rows.step = T(call.first() + number);
    rows.slots = layout.slots(t, block.first);
    rows.following = number > 0 ? layout.slots(layout.step_at(number - 1), block.first) : rows.slots;
    for (long j = running.first; j < running.last; ++j) {
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
    scratch.read(layout, block, t, running, program.reads_input);
    clock.set(alive);
    for (int level = 0; level <= program.backward_levels;) {
      crew.wait();
      splits.forget();
      for (int r = 0; r < program.returns; ++r)
        if (program.returned[r].level == level && matrices.returned[r].vectors && !behind.serves(program.returned[r]))
          return_gradient(layout, matrices, scratch, r, clock, rows.slots, rows.slots_row, alive, crew, splits,
                          turned);
      int next = level + 1;
      while (next < program.backward_levels && !returns(program, next)) ++next;
      crew.wait();
      if (level < program.backward_levels)
        for_runs(layout, block, t, running,
                 [&](long first, long count) { run_levels(kernels.backward, level, next, rows.part(first, count)); });
      level = next;
    }
    behind.follow(number);
    for (long j = running.first; j < running.last; ++j)
      for (int s = 0; s < program.sequences; ++s)
        if (call.sequences_gradient[s].data)
          copy_row(layout.of(call.sequences_gradient[s], t, block.row(j)),
                   program.sequence_gradient[s] ? scratch.sequence_gradients + (j * program.sequences + s) * width : nullptr,
                   call.units);
    bounds.apply(t, mine);
  }
  for (long j = mine.first; j < mine.last; ++j)
    for (int s = 0; s < program.states; ++s)
      if (call.initial_gradient[s].data)
        copy_row(layout.of(call.initial_gradient[s], block.row(j)), scratch.gradient + (j * program.states + s) * width,
                 layout.state_size(s));
}

template <class T>
void forward(const Call& call, const Kernels<T>& kernels) {
  const Layout<T> layout(call, *kernels.program);
  thread_local Arena shared, blocks;
  Carver counter;
  Matrices<T>(layout, false, counter);
  Carver carver(shared.take(counter.used()));
  const Matrices<T> matrices(layout, false, carver);
  const std::unique_ptr<Meeting[]> meetings(new Meeting[call.threads]);
  thread_local Helpers helpers;
  const bool help = helpers.ask();
  const Division<T> plan(layout, matrices, call.threads, false, help);  // threads without work are not woken
  bool enough = true;
  const auto start = Helpers::Clock::now();
  auto done = start;
  run_team(int(plan.threads()), [&](const Team& all) {
    const Division<T> division(layout, matrices, all.size, false, help);
    if (division.helper(all.rank)) {
      if (meetings[division.crew_of(all.rank)].pipe.opened())
        for_blocks(division, all, meetings.get(), [&](const Block& block, const Scratch<T>& scratch, const Team& crew) {
          Splits<T> none;
          Ahead<T>(layout, matrices, scratch, block, crew, none).help();
        });
      return;
    }
    const Team team = division.workers(all);
    if (team.rank == 0) enough = division.take(meetings.get(), blocks);  // the thread that calls
    matrices.pack(layout, kernels.derive, team);
    team.wait();
    meetings[team.rank].pipe.open(enough);
    if (!enough) return;
    for_blocks(division, all, meetings.get(), [&](const Block& block, const Scratch<T>& scratch, const Team& crew) {
      forward_block(layout, kernels, matrices, scratch, block, crew);
    });
    if (team.rank == 0) done = Helpers::Clock::now();
  });
  if (plan.helped()) helpers.came(start, meetings[0].pipe.waited(), done);
  if (!enough) throw std::bad_alloc();
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
