// One instruction set's engine: this file is compiled once for each, in a namespace of its own.
#include "cell.h"
#include "gradient.h"
#include "stream.h"

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

std::size_t stream_size(const Call& call, const Cell& cell) {
  return call.is_double ? Stream<double>::size(call, kernels_of<double>(cell))
                        : Stream<float>::size(call, kernels_of<float>(cell));
}

void open_stream(const Call& call, const Cell& cell, void* memory) {
  if (call.is_double)
    Stream<double>::open(call, kernels_of<double>(cell), memory);
  else
    Stream<float>::open(call, kernels_of<float>(cell), memory);
}

void stream_step(void* memory, bool is_double, long number) {
  if (is_double)
    static_cast<Stream<double>*>(memory)->step(number);
  else
    static_cast<Stream<float>*>(memory)->step(number);
}

#define OSTINATO_TEXT(name) #name
#define OSTINATO_NAME(name) OSTINATO_TEXT(name)

constexpr Engine engine_of(const char* name) {
  return {name, OSTINATO_FLAGS, kCells, cells, lanes_of, run_forward, run_backward, stream_size, open_stream, stream_step};
}

}  // namespace

extern const Engine engine;
constexpr Engine engine = engine_of(OSTINATO_NAME(OSTINATO_SET));
bool matrix_unit = false;
#if defined(__AVX512F__)
extern const Engine tiles_engine;  // whose calls have their products on the matrix unit
constexpr Engine tiles_engine = engine_of("amx");
#endif

}  // namespace OSTINATO_SET
}  // namespace ostinato
