// One instruction set's engine: this file is compiled once for each, in a namespace of its own.
#include "cell.h"
#include "gradient.h"

namespace ostinato {
namespace OSTINATO_SET {

#include "cells.h"

namespace {

#define OSTINATO_ONE(name) +1
constexpr int kCells = OSTINATO_CELLS(OSTINATO_ONE);
#undef OSTINATO_ONE

const Cell* cells() {
#define OSTINATO_CELL(name) cell_of<name>(),
  static const Cell known[] = {OSTINATO_CELLS(OSTINATO_CELL)};
#undef OSTINATO_CELL
  return known;
}

template <class T>
Kernels<T> kernels_of(const Cell& cell) {
  const void* const* steps = sizeof(T) == 4 ? cell.single : cell.twice;
  using Step = void (*)(int, const Rows<T>&);
  return {cell.program, reinterpret_cast<Step>(steps[0]), reinterpret_cast<Step>(steps[1]),
          reinterpret_cast<Step>(steps[2]), reinterpret_cast<Derive<T>>(steps[3])};
}

int lanes_of(bool is_double) { return is_double ? lanes<Vector<double>> : lanes<Vector<float>>; }

void run_forward(const Call& call, const Cell& cell) {
  if (call.is_double)
    forward(call, kernels_of<double>(cell));
  else
    forward(call, kernels_of<float>(cell));
}

void run_backward(const Call& call, const Cell& cell) {
  if (call.is_double)
    backward(call, kernels_of<double>(cell));
  else
    backward(call, kernels_of<float>(cell));
}

#define OSTINATO_TEXT(name) #name
#define OSTINATO_NAME(name) OSTINATO_TEXT(name)

}  // namespace

extern const Engine engine;
const Engine engine = {OSTINATO_NAME(OSTINATO_SET), OSTINATO_FLAGS, kCells, cells, lanes_of, run_forward, run_backward};

}  // namespace OSTINATO_SET
}  // namespace ostinato
