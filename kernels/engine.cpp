// One instruction set's engine: this file is compiled once for each, in a namespace of its own.
#include "gradient.h"

namespace ostinato {
namespace OSTINATO_SET {

#include "cells.h"

namespace {

#define OSTINATO_CELL(name) \
  {&name::program, &name::forward<Vector<T>>, &name::infer<Vector<T>>, &name::backward<Vector<T>>},
template <class T>
const Kernels<T> kKernels[] = {OSTINATO_CELLS(OSTINATO_CELL)};
#undef OSTINATO_CELL

const Program* program(int cell) { return kKernels<float>[cell].program; }

int lanes_of(bool is_double) { return is_double ? lanes<Vector<double>> : lanes<Vector<float>>; }

void run_forward(const Call& call) {
  if (call.is_double)
    forward(call, kKernels<double>[call.cell]);
  else
    forward(call, kKernels<float>[call.cell]);
}

void run_backward(const Call& call) {
  if (call.is_double)
    backward(call, kKernels<double>[call.cell]);
  else
    backward(call, kKernels<float>[call.cell]);
}

#define OSTINATO_TEXT(name) #name
#define OSTINATO_NAME(name) OSTINATO_TEXT(name)

}  // namespace

extern const Engine engine;
const Engine engine = {OSTINATO_NAME(OSTINATO_SET), int(sizeof(kKernels<float>) / sizeof(kKernels<float>[0])),
                       program,  lanes_of, run_forward, run_backward};

}  // namespace OSTINATO_SET
}  // namespace ostinato
