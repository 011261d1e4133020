// The elementwise part of a cell's steps and nothing else: no products, and no memory but the nearest. Forward, and in training
// backward, over the same few rows again and again.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "cell.h"
#include "thread.h"

namespace ostinato {
namespace OSTINATO_SET {

#include "cells.h"

namespace {

using T = float;
using Step = void (*)(int, const Rows<T>&);

Cell cell_named(const char* name) {
#define OSTINATO_CELL(one) \
  if (!std::strcmp(one::program.name, name)) return cell_of<one>();
  OSTINATO_CELLS(OSTINATO_CELL)
#undef OSTINATO_CELL
  return {};
}

// Numbers for the parts of all rows; what is computed elementwise takes as long for others.
struct Memory {
  explicit Memory(long size) : numbers(size, 0.5f) {}
  T* take(long count) { return std::exchange(next, next + count); }
  std::vector<T> numbers;
  T* next = numbers.data();
};

// The vectors of a row, all of one width.
long vectors(const Program& p) {
  return p.columns + p.slots + 2 * p.states + 2 * p.sequences + p.carries + 2 + p.sums;
}

void work(const Cell& cell, long units, long width, long rows, int phi, int sigma, bool training, long runs, T* sink) {
  const Program& p = *cell.program;
  const long parameters = p.parameters + p.derived;
  Memory memory(rows * (vectors(p) * width + p.means) + parameters * width);
  Rows<T> at;
  at.rows = rows;
  at.units = units;
  at.width = at.input_row = width;
  at.phi = phi;
  at.sigma = sigma;
  const auto take = [&](long parts, auto& where, long& row) {
    where = memory.take(rows * parts * width);
    row = parts * width;
  };
  long input_row;
  take(p.columns, at.products, at.products_row);
  take(p.slots, at.slots, at.slots_row);
  take(p.states, at.state, at.state_row);
  take(p.states, at.gradient, at.gradient_row);
  take(p.sequences, at.sequences, at.sequences_row);
  take(p.sequences, at.sequence_gradients, at.sequences_row);
  take(p.carries, at.carry, at.carry_row);
  take(p.sums, at.sums, at.sums_row);
  take(1, at.input, input_row);
  take(1, at.input_gradient, input_row);
  at.means = memory.take(rows * p.means);
  at.means_row = p.means;
  at.parameters = memory.take(parameters * width);
  at.following = at.slots;
  const auto levels = [&](const void* step, int count) {
    for (long row = 0; row < rows && count > 1; ++row)
      for (int level = 0; level < count; ++level) reinterpret_cast<Step>(const_cast<void*>(step))(level, at.part(row, 1));
    if (count == 1) reinterpret_cast<Step>(const_cast<void*>(step))(0, at);
  };
  const FlushDenormals mode;
  for (long run = 0; run < runs; ++run) {
    levels(cell.single[training ? 0 : 1], training ? p.forward_levels : p.infer_levels);
    if (training) levels(cell.single[2], p.backward_levels);
  }
  *sink = at.state[0];
}

}  // namespace
}  // namespace OSTINATO_SET
}  // namespace ostinato

using namespace ostinato;
using namespace ostinato::OSTINATO_SET;

#define EXPORTED extern "C" __attribute__((visibility("default")))

// How many rows one run of one thread goes through: those that fit a first-level cache; 0 if there is no such cell.
EXPORTED long rows_of(const char* name, long units) {
  const Cell cell = cell_named(name);
  if (!cell.program) return 0;
  const long row = vectors(*cell.program) * units * long(sizeof(float));
  return std::clamp((24L << 10) / row, 1L, 16L);
}

// On each of `threads` threads: every row's step, `runs` times.
EXPORTED double steps(const char* name, long units, int phi, int sigma, int training, long runs, int threads) {
  const Cell cell = cell_named(name);
  const long width = (units + lanes<Vector<float>> - 1) / lanes<Vector<float>> * lanes<Vector<float>>;
  std::vector<float> sinks(threads);
  std::vector<std::thread> team;
  for (int i = 0; i < threads; ++i)
    team.emplace_back([&, i] { work(cell, units, width, rows_of(name, units), phi, sigma, training, runs, &sinks[i]); });
  for (auto& one : team) one.join();
  return std::accumulate(sinks.begin(), sinks.end(), 0.0);
}
