// What crosses from Python into the engine: one struct of sizes and addresses. It owns nothing.
#pragma once

#include <array>
#include <cstdint>

namespace ostinato {

using Address = std::uintptr_t;
constexpr int kStates = 8;       // most states of a cell
constexpr int kColumns = 16;     // most gate columns of a cell
constexpr int kParameters = 16;  // most per-unit parameters of a cell
constexpr int kTerms = 2;        // most vectors that one product sums over
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
  bool is_double = false, reverse = false, keep = false, repeat = false;
  bool add_to_x_gradient = false;  // what the other direction left there
  long steps = 0, batch = 0, input_size = 0, units = 0;

  // Ragged batches: rows sorted by descending length. order[k] is the row that stands k-th, alive[t] how many rows take
  // step t, always the first ones, tokens[t] how many (row, step) pairs come before step t. Null order: rows stand as
  // they are.
  Address order = 0, alive = 0, tokens = 0;
  Address mask = 0;  // bool (row, step); false carries the states
  long mask_row = 0, mask_step = 0;

  Sequence x, y;
  Matrix weights[2];                                     // W and U: blocks of `units` rows
  std::array<std::array<int, kColumns>, 2> blocks{};     // where each block of the cell stands in the matrix
  std::array<Address, 2> bias{};                         // beside W and beside U; null is none
  std::array<Address, kParameters> parameters{};
  std::array<Matrix, kStates> initial{}, final{};        // (batch, units); null initial is zeros
  Address slots = 0;

  Sequence y_gradient, x_gradient;                       // null: no gradient comes in; none is wanted
  std::array<Matrix, kStates> final_gradient{}, initial_gradient{};
  Matrix weights_gradient[2];
  std::array<Address, 2> bias_gradient{};
  std::array<Address, kParameters> parameters_gradient{};
};

// A step of a cell as the engine sees it; printed by the compiler.
struct Term {
  int vector;            // 0: input; 1 + s: state s; after the states: the vectors that the step computes
  int matrix;            // 0: W; 1: U
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

struct Program {
  const char* name;
  int columns, blocks[2], states, parameters, slots;
  int forward_levels, infer_levels, backward_levels, carries, means;
  int history[kStates];        // slot of each state after the step; -1: it is the output
  int needed_states[kStates];  // whether the backward step reads the state before the step
  int vectors, vector_carry[kStates], vector_slot[kStates], vector_return[kStates];
  int bias[2][kColumns];       // for each column its block in the bias beside W and beside U, or -1
  int products;
  Product product[kColumns];
  int returns;
  Return returned[kColumns];
};

// One instruction set's engine.
struct Engine {
  const char* name;
  int cells;
  const Program* (*program)(int cell);
  int (*lanes)(bool is_double);
  void (*forward)(const Call&);
  void (*backward)(const Call&);
};

}  // namespace ostinato
