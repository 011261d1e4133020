// A block of batch rows on its way through the steps: its memory, which units run, what is multiplied ahead, and the levels
// of one step.
#pragma once

#include <atomic>
#include <chrono>
#include <limits>

#include "pack.h"
#include "rows.h"

namespace ostinato {
namespace OSTINATO_SET {

template <class T>
struct Kernels {
  const Program* program;
  void (*forward)(int level, const Rows<T>&);
  void (*infer)(int level, const Rows<T>&);
  void (*backward)(int level, const Rows<T>&);
  Derive<T> derive;
};

// For how many steps the products of the input are made at once: where the rows of one are too few to fill a tile, or too
// few to make up for reading a W that no cache keeps.
template <class T>
long steps_ahead(const Layout<T>& layout, long rows) {
  constexpr long kFar = 8 << 20;  // bytes of W
  if (layout.partial()) return 1;
  const bool far = layout.call.input_size * layout.program.columns * layout.width * long(sizeof(T)) >= kFar;
  return std::clamp((far ? 96 : 4 * tile_rows(kMostVectors)) / rows, 1L, layout.call.steps);
}

// Likewise for the products that return to the input.
template <class T>
long steps_behind(const Layout<T>& layout, long rows) {
  return layout.call.x_gradient.data && !layout.program.input_gradient ? steps_ahead(layout, rows) : 1;
}

// Between a thread that takes rows through the steps and one that has none, and makes the products of the input for it, so
// many steps at once: a portion. Who begins on a portion makes it, so that nobody waits for a helper that does not come.
class Pipe {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr long kPlaces = 3;  // for portions

  // Said by the thread with the rows: the memory is there, or there is none.
  void open(bool enough) { begun_.store(enough ? 0 : kNever, std::memory_order_release); }
  // Waits for that, and tells which.
  bool opened() const {
    for (Patience patience; begun_.load(std::memory_order_acquire) < 0;) patience.wait();
    return next() != kNever;
  }
  // Portions are begun on one after the other.
  long next() const { return begun_.load(std::memory_order_relaxed); }
  bool begin(long portion) { return begun_.compare_exchange_strong(portion, portion + 1); }
  void finish(long portion) { made_[portion % kPlaces].store(portion + 1, std::memory_order_release); }
  // Waits until who began on a portion has made it.
  void await(long portion) {
    const auto finished = [&] { return made_[portion % kPlaces].load(std::memory_order_acquire) > portion; };
    if (finished()) return;
    const auto start = Clock::now();
    for (Patience patience; !finished();) patience.wait();
    waited_ += Clock::now() - start;
  }
  // How long that took in all.
  Clock::duration waited() const { return waited_; }
  // Those before `portion` are needed no more.
  void use(long portion) { used_.store(portion, std::memory_order_release); }
  bool fits(long portion) const { return portion < used_.load(std::memory_order_acquire) + kPlaces; }

 private:
  static constexpr long kNever = std::numeric_limits<long>::max();
  std::atomic<long> begun_{-1}, used_{0}, made_[kPlaces] = {};
  Clock::duration waited_{};
};

// The memory for one block of rows, of a crew of threads.
template <class T>
struct Scratch {
  Pipe* pipe;  // null: nobody helps
  char* awake;
  T *inputs, *input, *input_gradient, *sequences, *sequence_gradients, *products, *state, *carry, *means, *gradient;
  T* column_gradients;
  Half* splits;  // of each thread so many
  long splits_size;

  Scratch(const Layout<T>& layout, long rows, int threads, bool backward, Pipe* pipe, Carver& carver) : pipe(pipe) {
    const Program& program = layout.program;
    const long steps = backward ? 0 : steps_ahead(layout, rows) * (pipe ? Pipe::kPlaces : 1);
    inputs = carver.array<T>(steps > 1 ? steps * rows * layout.input_width : 0);
    awake = carver.array<char>(program.clock_state >= 0 ? layout.call.units : 0);
    input = carver.array<T>(rows * layout.input_width);
    const long behind = backward ? steps_behind(layout, rows) : 0;
    input_gradient = carver.array<T>(behind * rows * layout.input_width);
    long returning = 0;
    for (int r = 0; r < program.returns && behind > 1; ++r)
      if (program.returned[r].vector == 0) returning = program.returned[r].count;
    column_gradients = carver.array<T>(behind * rows * returning * layout.width);
    sequences = carver.array<T>(rows * program.sequences * layout.width);
    sequence_gradients = carver.array<T>(backward ? rows * program.sequences * layout.width : 0);
    products = carver.array<T>(steps * rows * program.columns * layout.width);
    state = carver.array<T>(rows * program.states * layout.width);
    carry = carver.array<T>((program.vectors ? rows : threads) * program.carries * layout.width);
    means = carver.array<T>(rows * program.means);
    gradient = carver.array<T>(backward ? rows * program.states * layout.width : 0);
    splits_size = 0;
    for (int p = 0; p < program.products && layout.parts && !backward; ++p)
      for (int k = 0; k < program.product[p].terms; ++k) {
        const int vector = program.product[p].term[k].vector;
        splits_size += Splits<T>::size(layout.parts, rows * (vector ? 1 : steps), layout.size_of(vector));
      }
    for (int r = 0; r < program.returns && layout.parts && backward; ++r)
      for (int k = 0; k < program.returned[r].count; ++k)
        splits_size += Splits<T>::size(layout.parts, rows * (program.returned[r].vector ? 1 : behind),
                                       layout.rows_of(program.returned[r].matrix[k]));
    splits = carver.array<Half>(threads * splits_size);
  }

  // The splits of a thread of the crew.
  Splits<T> splits_of(const Team& crew) const { return Splits<T>(splits + crew.rank * splits_size); }

  Rows<T> rows(const Layout<T>& layout, const Matrices<T>& matrices, const Team& crew) const {
    const Program& program = layout.program;
    Rows<T> rows;
    rows.units = layout.call.units;
    rows.width = layout.width;
    rows.phi = layout.call.phi;
    rows.sigma = layout.call.sigma;
    rows.input = input;
    rows.input_gradient = input_gradient;
    rows.input_row = layout.input_width;
    rows.sequences = sequences;
    rows.sequence_gradients = sequence_gradients;
    rows.sequences_row = program.sequences * layout.width;
    rows.products = products;
    rows.products_row = program.columns * layout.width;
    rows.state = state;
    rows.state_row = program.states * layout.width;
    // where no product stands between levels, they run row by row, and one row's place serves all of a thread's
    rows.carry = carry + (program.vectors ? 0 : crew.rank * program.carries * layout.width);
    rows.carry_row = program.vectors ? program.carries * layout.width : 0;
    rows.means = means;
    rows.means_row = program.means;
    rows.gradient = gradient;
    rows.gradient_row = program.states * layout.width;
    rows.parameters = matrices.parameters;
    return rows;
  }

  // The vector that enters a product, for every row.
  Operand<T> operand(const Layout<T>& layout, int vector) const {
    const Program& program = layout.program;
    const long size = layout.size_of(vector);
    if (vector == 0) return {input, layout.input_width, size};
    if (vector <= program.states) return {state + (vector - 1) * layout.width, program.states * layout.width, size};
    const int slot = program.vector_carry[vector - 1 - program.states];
    return {carry + slot * layout.width, program.carries * layout.width, size};
  }

  // What comes in at step t beside the states, for some of the block's rows.
  void read(const Layout<T>& layout, const Block& block, long t, const Range& rows, bool with_input) const {
    const Call& call = layout.call;
    const int count = layout.program.sequences;
    for (long j = rows.first; j < rows.last; ++j) {
      if (with_input) copy_row(input + j * layout.input_width, layout.of(call.x, t, block.row(j)), call.input_size);
      for (int s = 0; s < count; ++s)
        copy_row(sequences + (j * count + s) * layout.width, layout.of(call.sequences[s], t, block.row(j)), call.units);
    }
  }
};

// The units of a clocked cell that run at a step: those that some row's state is a multiple of the period of.
template <class T>
class Clock {
 public:
  Clock(const Layout<T>& layout, const Matrices<T>& matrices, const Scratch<T>& scratch)
      : layout_(layout), state_(scratch.state), awake_(scratch.awake), ticks_(layout.program.clock_state >= 0) {
    if (ticks_) period_ = matrices.parameters + layout.program.clock_parameter * layout.width;
  }

  void set(long rows) {
    if (!ticks_) return;
    std::memset(awake_, 0, layout_.call.units);
    const long states = layout_.program.states * layout_.width;
    for (long j = 0; j < rows; ++j) {
      const T t = state_[j * states + layout_.program.clock_state * layout_.width];
      if (j > 0 && t == state_[(j - 1) * states + layout_.program.clock_state * layout_.width]) continue;
      for (long u = 0; u < layout_.call.units; ++u) awake_[u] |= std::floor(t / period_[u]) * period_[u] == t;
    }
    hull_ = {layout_.call.units, 0};
    for (long u = 0; u < layout_.call.units; ++u)
      if (awake_[u]) hull_ = {std::min(hull_.first, u), u + 1};
  }

  // Whether one of a panel's units runs.
  bool wakes(const Panels& panels, long panel) const {
    constexpr long lane = lanes<Vector<T>>;
    for (long v = panels.first(panel); v < panels.first(panel + 1); ++v) {
      const long unit = v % layout_.column_vectors * lane;
      for (long u = unit; u < std::min(unit + lane, layout_.call.units); ++u)
        if (awake_[u]) return true;
    }
    return false;
  }

  // Of a range of units the part that runs.
  Range among(const Range& range) const { return range.among(hull_); }

  bool ticks() const { return ticks_; }

 private:
  const Layout<T>& layout_;
  const T *state_, *period_ = nullptr;
  char* const awake_;
  const bool ticks_;
  Range hull_{0, 0};
};

// The products of the input, made for several steps at once. A step goes on where they end, so that every element is the
// same chain of multiply-adds as ever.
template <class T>
class Ahead {
 public:
  Ahead(const Layout<T>& layout, const Matrices<T>& matrices, const Scratch<T>& scratch, const Block& block,
        const Team& crew, Splits<T>& splits)
      : layout_(layout),
        matrices_(matrices),
        scratch_(scratch),
        block_(block),
        crew_(crew),
        splits_(splits),
        mine_(block.share(crew, layout.together)),
        steps_(steps_ahead(layout, block.count)) {}

  // Whether a product of a step has been begun.
  bool serves(const Product& product) const { return steps_ > 1 && product.term[0].vector == 0; }

  // Where the products of step `number` stand, those of the input among them.
  T* products(long number) const {
    const long portion = number / steps_, row = layout_.program.columns * layout_.width;
    if (steps_ > 1 && number % steps_ == 0) {
      Pipe* const pipe = scratch_.pipe;
      if (pipe) pipe->use(portion);
      if (!pipe || pipe->begin(portion))
        make(portion);
      else
        pipe->await(portion);
    }
    const long size = block_.count * row;
    T* const products = scratch_.products + (place(portion) + number % steps_) * size;
    if (scratch_.pipe && (number + 1) % steps_)  // those of the next step, which stand in another core's cache
      for (long k = 0; k < size; k += 64 / sizeof(T)) prefetch(products + size + k);
    return products;
  }

  // Makes what another thread will need, until all has been begun.
  void help() const {
    Pipe& pipe = *scratch_.pipe;
    Patience patience;
    for (long portion; (portion = pipe.next()) * steps_ < layout_.call.steps;) {
      if (!pipe.fits(portion) || !pipe.begin(portion)) {
        patience.wait();
        continue;
      }
      make(portion);
      pipe.finish(portion);
      patience = {};
    }
  }

 private:
  long place(long portion) const { return scratch_.pipe ? portion % Pipe::kPlaces * steps_ : 0; }

  void make(long portion) const {
    const Program& program = layout_.program;
    const long number = portion * steps_, row = program.columns * layout_.width;
    const long steps = std::min(steps_, layout_.call.steps - number);
    T* const inputs = scratch_.inputs + place(portion) * block_.count * layout_.input_width;
    for (long i = 0; i < steps; ++i) {
      const long t = layout_.step_at(number + i), alive = block_.among(layout_.alive(t));
      for (long j = mine_.first; j < mine_.last; ++j)
        copy_row<T>(inputs + (i * block_.count + j) * layout_.input_width,
                    j < alive ? layout_.of(layout_.call.x, t, block_.row(j)) : nullptr, layout_.call.input_size);
    }
    crew_.wait();
    splits_.forget();
    for (int p = 0; p < program.products; ++p) {
      const Product& product = program.product[p];
      if (!serves(product)) continue;
      Operand<T> operands[kTerms] = {{inputs, layout_.input_width, layout_.call.input_size}};
      if (product.terms > 1) operands[1] = scratch_.operand(layout_, product.term[1].vector);
      const Range input[kTerms] = {{0, operands[0].count}, {0, 0}};
      multiply(matrices_.product[p], product.terms, operands, steps * block_.count,
               scratch_.products + place(portion) * block_.count * row + product.column * layout_.width, row, false, input,
               crew_, splits_, false);
    }
  }

  const Layout<T>& layout_;
  const Matrices<T>& matrices_;
  const Scratch<T>& scratch_;
  const Block& block_;
  const Team& crew_;
  Splits<T>& splits_;
  const Range mine_;
  const long steps_;
};

// The products that return to the input, made for several steps at once: no step waits for them.
template <class T>
class Behind {
 public:
  Behind(const Layout<T>& layout, const Matrices<T>& matrices, const Scratch<T>& scratch, const Block& block,
         const Team& crew, Splits<T>& splits)
      : layout_(layout),
        scratch_(scratch),
        block_(block),
        crew_(crew),
        splits_(splits),
        mine_(block.share(crew, layout.together)),
        steps_(steps_behind(layout, block.count)) {
    for (int r = 0; r < layout.program.returns; ++r)
      if (layout.program.returned[r].vector == 0 && matrices.returned[r].vectors) {
        back_ = &layout.program.returned[r];
        matrix_ = &matrices.returned[r];
      }
  }

  // Whether a return waits.
  bool serves(const Return& back) const { return steps_ > 1 && &back == back_; }

  // To be called when step `number`, of all from the last to the first, has its columns' gradients.
  void follow(long number) const {
    if (steps_ == 1 || !back_) return put(number, scratch_.input_gradient);
    const long row = back_->count * layout_.width, place = number % steps_;
    keep(number, scratch_.column_gradients + place * block_.count * row, row);
    if (place > 0) return;
    const long steps = std::min(steps_, layout_.call.steps - number);
    Operand<T> operands[kColumns];
    for (int k = 0; k < back_->count; ++k)
      operands[k] = {scratch_.column_gradients + k * layout_.width, row, layout_.rows_of(back_->matrix[k])};
    crew_.wait();
    splits_.forget();
    multiply(*matrix_, back_->count, operands, steps * block_.count, scratch_.input_gradient, layout_.input_width, false,
             nullptr, crew_, splits_, false);
    crew_.wait();
    for (long i = 0; i < steps; ++i)
      put(number + i, scratch_.input_gradient + i * block_.count * layout_.input_width);
  }

 private:
  // The gradients of the columns that return, of each row one behind the other.
  void keep(long number, T* to, long row) const {
    const long t = layout_.step_at(number), alive = block_.among(layout_.alive(t));
    for (long j = mine_.first; j < mine_.last; ++j)
      for (int k = 0; k < back_->count; ++k)
        copy_row<T>(to + j * row + k * layout_.width,
                    j < alive ? layout_.slots(t, block_.row(j)) + back_->column[k] * layout_.width : nullptr, layout_.width);
  }

  // Hands a step's gradients to their owner.
  void put(long number, const T* from) const {
    const Call& call = layout_.call;
    const long t = layout_.step_at(number);
    const Range running = mine_.below(block_.among(layout_.alive(t)));
    for (long j = running.first; call.x_gradient.data && j < running.last; ++j) {
      T* to = layout_.of(call.x_gradient, t, block_.row(j));
      const T* row = from + j * layout_.input_width;
      call.add_to_x_gradient ? add_row(to, row, call.input_size) : copy_row(to, row, call.input_size);
    }
  }

  const Layout<T>& layout_;
  const Scratch<T>& scratch_;
  const Block& block_;
  const Team& crew_;
  Splits<T>& splits_;
  const Range mine_;
  const long steps_;
  const Return* back_ = nullptr;
  const Packed<T>* matrix_ = nullptr;
};

// Calls `work(first, count)` for every run of rows among `rows` that take step t.
template <class T, class Work>
void for_runs(const Layout<T>& layout, const Block& block, long t, const Range& rows, Work work) {
  if (rows.first >= rows.last) return;
  if (!layout.call.mask) return work(rows.first, rows.last - rows.first);
  for (long first = rows.first; first < rows.last;) {
    if (!layout.runs(t, block.row(first))) {
      ++first;
      continue;
    }
    long last = first + 1;
    while (last < rows.last && layout.runs(t, block.row(last))) ++last;
    work(first, last - first);
    first = last;
  }
}

// Whether products come before a level's elementwise part; whether gradients return there.
inline bool multiplies(const Program& program, int level) {
  return std::any_of(program.product, program.product + program.products,
                     [&](const Product& product) { return product.level == level; });
}
inline bool returns(const Program& program, int level) {
  return std::any_of(program.returned, program.returned + program.returns,
                     [&](const Return& back) { return back.level == level; });
}

// Levels first..last - 1 with no product between them: row by row, so that what they hand on stays near.
template <class T>
void run_levels(void (*run)(int, const Rows<T>&), int first, int last, const Rows<T>& rows) {
  if (last - first == 1) return run(first, rows);
  for (long row = 0; row < rows.rows; ++row) {
    const Rows<T> one = rows.part(row, 1);
    for (int level = first; level < last; ++level) run(level, one);
  }
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
