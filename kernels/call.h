// What crosses from Python into the engine: one struct of sizes and addresses. It owns nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ostinato {

using Address = std::uintptr_t;
constexpr int kStates = 8;       // most states of a cell
constexpr int kColumns = 16;     // most gate columns of a cell
constexpr int kParameters = 32;  // most per-unit vectors of a cell
constexpr int kTerms = 2;        // most vectors that one product sums over
constexpr int kMatrices = 11;    // most matrices of a cell: W, U and further ones
constexpr int kSequences = 4;    // most further input sequences of a cell
static_assert(sizeof(long) == 8, "sizes and the tensors of a ragged batch are 64-bit");

// A sequence of vectors, contiguous in the features: that of row b at step t starts at data + t * step + b * row. Where
// `packed`, at data + token * row.
struct Sequence {
  Address data = 0;
  long step = 0, row = 0;
  bool packed = false;
};

// A matrix or a set of vectors, strides in elements.
struct Matrix {
  Address data = 0;
  long row = 0, column = 0;
};

struct Call {
  int cell = 0, phi = 0, sigma = 0, threads = 1;
  int parts = 0;  // into how many bfloat16 the numbers of a product are split; 0: they stay float
  bool is_double = false, reverse = false, keep = false, repeat = false;
  bool add_to_x_gradient = false;  // what the other direction left there
  long steps = 0, batch = 0;
  // The steps may be a piece of a longer sequence of `whole` steps: number `origin` of those is the first.
  long origin = 0, whole = 0;
  long input_size = 0, units = 0, projection = 0;

  // Ragged batches: rows sorted by descending length. order[k] is the row that stands k-th, alive[t] how many rows take
  // step t, always the first ones, tokens[t] how many (row, step) pairs come before step t. Null order: rows stand as
  // they are.
  Address order = 0, alive = 0, tokens = 0;
  Address mask = 0;  // bool (row, step); false carries the states
  long mask_row = 0, mask_step = 0;

  Sequence x, sequences[kSequences];
  Sequence y[kStates];                                   // of each state; the first is always there
  Matrix weights[kMatrices];                             // W and U: blocks of `units` rows; then the further ones
  std::array<std::array<int, kColumns>, 2> blocks{};     // where each block of the cell stands in W and U
  Address reach = 0;                                     // long (units, 2): the entries a unit reads through U; null: all
  std::array<Address, 2> bias{};                         // beside W and beside U; null is none
  std::array<Address, kParameters> parameters{};
  std::array<Matrix, kStates> initial{}, final{};        // (batch, size of the state); null initial is zeros
  Address slots = 0;

  Sequence y_gradient[kStates], x_gradient, sequences_gradient[kSequences];  // null: none comes in; none is wanted
  Sequence flow[kStates];  // where the gradient of each state after each step is wanted
  long truncate = 0;       // no gradient passes from one piece of so many steps to another; 0: from all to all
  double clip = 0;         // the gradient of a state is brought to within +-clip at every step; 0: it is left as it is
  std::array<Matrix, kStates> final_gradient{}, initial_gradient{};
  Matrix weights_gradient[kMatrices];
  std::array<Address, 2> bias_gradient{};
  std::array<Address, kParameters> parameters_gradient{};

  // The number of the call's first step in the order of running.
  long first() const { return reverse && whole ? whole - origin - steps : origin; }

  // This call for `count` of its steps, from `from` on. What belongs to the ends, the states and their gradients, and
  // what is kept, stays where it is.
  Call piece(long from, long count) const;
};

inline Call Call::piece(long from, long count) const {
  Call part = *this;
  part.steps = count;
  part.origin = origin + from;
  part.whole = whole ? whole : steps;
  const long size = is_double ? 8 : 4;
  const long* const before = reinterpret_cast<const long*>(tokens);
  const auto move = [&](Sequence& sequence) {
    if (sequence.data)
      sequence.data += (sequence.packed ? (before[from] - before[0]) * sequence.row : from * sequence.step) * size;
  };
  if (alive) part.alive += from * sizeof(long);
  if (tokens) part.tokens += from * sizeof(long);
  if (mask) part.mask += from * mask_step;
  move(part.x);
  move(part.x_gradient);
  for (int k = 0; k < kSequences; ++k) {
    move(part.sequences[k]);
    move(part.sequences_gradient[k]);
  }
  for (int s = 0; s < kStates; ++s) {
    move(part.y[s]);
    move(part.y_gradient[s]);
    move(part.flow[s]);
  }
  return part;
}

// A step of a cell as the engine sees it; printed by the compiler.
struct Term {
  int vector;            // 0: input; 1 + s: state s; after the states: the vectors that the step computes
  int matrix;            // 0: W; 1: U; the further ones
  int block[kColumns];   // the matrix' block for each column of the product
};

struct Product {
  int level, column, columns, terms;
  Term term[kTerms];
};

// The gradient of a vector that entered products: the sum over its columns of gradient times block.
struct Return {
  int level, vector, count;
  int column[kColumns], matrix[kColumns], block[kColumns];
};

// What a size is called: that of the input, of the units, of the projection.
enum Size { kInput, kUnits, kProjection };

struct Program {
  const char* name;
  int columns, blocks[2], states, parameters, derived, trained, sums, matrices, sequences, slots;
  int forward_levels, infer_levels, backward_levels, carries, means;
  int sum_of[kParameters];     // for each trained per-unit vector which of the sums is its gradient; -1: it is zero
  int history[kStates];        // slot of each state after the step; -1: it is the output
  int needed_states[kStates];  // whether the backward step reads the state before the step
  int reads_input, input_gradient, sequence_gradient[kSequences];  // x entry by entry; whether gradients flow there
  int clock_state, clock_parameter;  // a unit whose parameter does not divide the state sleeps; -1: none does
  int state_size[kStates], vector_size[kStates], matrix_rows[kMatrices];  // as Size says
  int input_wide;              // whether the step computes vectors of the input's size
  int vectors, vector_carry[kStates], vector_slot[kStates], vector_return[kStates];
  int bias[2][kColumns];       // for each column its block in the bias beside W and beside U, or -1
  int products;
  Product product[kColumns];
  int returns;
  Return returned[kColumns];
};

// A cell as one instruction set's engine runs it: its steps forward, without keeping, and backward, and what makes the
// vectors derived of its parameters, for each dtype.
struct Cell {
  const Program* program;
  const void *single[4], *twice[4];
};

// One instruction set's engine. Nothing of it runs before one of these is called: another machine may lack the instructions.
struct Engine {
  const char *name, *flags;  // what this engine was compiled with
  int count;
  const Cell* (*cells)();  // `count` of them
  int (*lanes)(bool is_double);
  void (*forward)(const Call&, const Cell&);
  void (*backward)(const Call&, const Cell&);
  // One step at a time: the memory for it, its weights packed there, and a step.
  std::size_t (*stream_size)(const Call&, const Cell&);
  void (*open_stream)(const Call&, const Cell&, void* memory);
  void (*stream_step)(void* memory, bool is_double, long number);
};

}  // namespace ostinato
