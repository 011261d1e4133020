// The engine as a Python module: the calls, and the choice of the instruction set.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(OSTINATO_AMX) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "line.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ostinato {

namespace baseline {
extern const Engine engine;
}
#ifdef OSTINATO_X86
namespace avx2 {
extern const Engine engine;
}
namespace avx512 {
extern const Engine engine, tiles_engine;
extern bool matrix_unit;
}
#endif

namespace {

// Whether the processor has a matrix unit for bfloat16 (AMX), and the system lets this process use it, which has to be asked:
// a thread's state grows by eight kilobytes with it.
bool matrix_unit() {
#if defined(OSTINATO_EMULATE)
  return true;
#elif defined(OSTINATO_AMX) && defined(__linux__)
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kBfloat16 = 1u << 22, kTiles = 1u << 24;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return (d & kBfloat16) && (d & kTiles) && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

#ifdef OSTINATO_X86
// Whether the processor multiplies vectors of bfloat16.
bool bfloat16_vectors() {
#if defined(OSTINATO_EMULATE)
  return true;
#elif defined(OSTINATO_AMX)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}
#endif

// The engines that this machine can run, the one to choose first.
std::vector<const Engine*> runnable() {
  std::vector<const Engine*> found;
#ifdef OSTINATO_X86
  __builtin_cpu_init();
#ifdef OSTINATO_EMULATE
  const bool widest = true;
#else
  const bool widest = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
  if (widest) found.push_back(&avx512::engine);
  static const bool unit = widest && matrix_unit();  // asked once: it takes as long as a small scan
  if (unit) found.push_back(&avx512::tiles_engine);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::engine);
#endif
  found.push_back(&baseline::engine);
  return found;
}

// What can multiply bfloat16 for the AVX-512 engines, the one to choose first.
std::vector<std::string> multipliers() {
  std::vector<std::string> found;
#ifdef OSTINATO_X86
  const auto engines = runnable();
  const auto runs = [&](const Engine& one) { return std::find(engines.begin(), engines.end(), &one) != engines.end(); };
  if (runs(avx512::tiles_engine)) found.push_back("amx");
  if (runs(avx512::engine) && bfloat16_vectors()) found.push_back("avx512_bf16");
#endif
  return found;
}

// Chooses among them; "" is none.
std::string multiplier;
void use_multiplier(const std::string& name) {
  const auto known = multipliers();
  if (!name.empty() && std::find(known.begin(), known.end(), name) == known.end())
    throw std::invalid_argument("nothing on this machine multiplies bfloat16 as '" + name + "'");
  multiplier = name;
#ifdef OSTINATO_X86
  avx512::matrix_unit = name == "amx";
#endif
}

const Engine* current = nullptr;

// Cells compiled for users, behind those that every engine has; each belongs to one instruction set.
std::vector<Cell> added;

const Cell& cell_of(const Call& call) {
  const int count = current->count;
  if (call.cell < 0 || call.cell >= count + int(added.size()))
    throw std::out_of_range("the engine has no cell " + std::to_string(call.cell));
  return call.cell < count ? current->cells()[call.cell] : added[call.cell - count];
}

void use(const std::string& name) {
  std::string known;
  for (const Engine* engine : runnable()) {
    if (engine->name == name) {
      current = engine;
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(engine->name);
  }
  throw std::invalid_argument("no engine for the instruction set '" + name + "' runs on this machine; these do: " + known);
}

nb::dict describe(const Program& program) {
  nb::dict d;
  d["name"] = program.name;
  d["slots"] = program.slots;
  d["states"] = program.states;
  d["parameters"] = program.parameters;
  d["wide"] = bool(program.input_wide);
  d["history"] = std::vector<int>(program.history + 1, program.history + program.states);
  return d;
}

// Place k of one of a call's arrays.
template <class Array>
auto& place(Array& array, int k) {
  if (k < 0 || k >= int(std::size(array))) throw std::out_of_range("the engine has no such place: " + std::to_string(k));
  return array[k];
}

// What sets a place of one of a call's arrays, or one of its sequences.
template <auto array>
void set_matrix(Call& call, int k, Address data, long row, long column) {
  place(call.*array, k) = {data, row, column};
}
template <auto array>
void set_sequence(Call& call, int k, Address data, long step, long row, bool packed) {
  place(call.*array, k) = {data, step, row, packed};
}
template <auto member>
void set_input(Call& call, Address data, long step, long row, bool packed) {
  call.*member = {data, step, row, packed};
}

}  // namespace

NB_MODULE(_engine, m) {
  current = runnable().front();
  use_multiplier(multipliers().empty() ? "" : multipliers().front());
  // whatever is alive when Python ends goes with it, calls that somebody keeps among it
  nb::set_leak_warnings(false);

  nb::class_<Call>(m, "Call")
      .def(nb::init<>())
      .def("copy", [](const Call& c) { return c; })
      .def_rw("cell", &Call::cell)
      .def_rw("phi", &Call::phi)
      .def_rw("sigma", &Call::sigma)
      .def_rw("threads", &Call::threads)
      .def_rw("parts", &Call::parts)
      .def_rw("is_double", &Call::is_double)
      .def_rw("reverse", &Call::reverse)
      .def_rw("keep", &Call::keep)
      .def_rw("repeat", &Call::repeat)
      .def_rw("add_to_x_gradient", &Call::add_to_x_gradient)
      .def_rw("steps", &Call::steps)
      .def_rw("batch", &Call::batch)
      .def_rw("input_size", &Call::input_size)
      .def_rw("origin", &Call::origin)
      .def_rw("units", &Call::units)
      .def_rw("projection", &Call::projection)
      .def_rw("order", &Call::order)
      .def_rw("alive", &Call::alive)
      .def_rw("tokens", &Call::tokens)
      .def_rw("mask", &Call::mask)
      .def_rw("mask_row", &Call::mask_row)
      .def_rw("mask_step", &Call::mask_step)
      .def_rw("blocks", &Call::blocks)
      .def_rw("reach", &Call::reach)
      .def_rw("bias", &Call::bias)
      .def_rw("parameters", &Call::parameters)
      .def_rw("slots", &Call::slots)
      .def_rw("truncate", &Call::truncate)
      .def_rw("clip", &Call::clip)
      .def_rw("bias_gradient", &Call::bias_gradient)
      .def_rw("parameters_gradient", &Call::parameters_gradient)
      .def("piece", &Call::piece, "first"_a, "steps"_a)
      .def("set_weights", set_matrix<&Call::weights>)
      .def("set_weights_gradient", set_matrix<&Call::weights_gradient>)
      .def("set_initial", set_matrix<&Call::initial>)
      .def("set_final", set_matrix<&Call::final>)
      .def("set_initial_gradient", set_matrix<&Call::initial_gradient>)
      .def("set_final_gradient", set_matrix<&Call::final_gradient>)
      .def("set_x", set_input<&Call::x>)
      .def("set_x_gradient", set_input<&Call::x_gradient>)
      .def("set_y", set_sequence<&Call::y>)
      .def("set_y_gradient", set_sequence<&Call::y_gradient>)
      .def("set_flow", set_sequence<&Call::flow>)
      .def("set_sequence", set_sequence<&Call::sequences>)
      .def("set_sequence_gradient", set_sequence<&Call::sequences_gradient>);

  nb::class_<Line>(m, "Line")
      .def(nb::init<bool, long, Address, nb::object, nb::object, nb::object>(), "is_double"_a, "input_size"_a, "input"_a,
           "rows"_a, "row"_a.none(), "convert"_a)
      .def("add_layer", [](Line& line, const Call& call) { line.add_layer(*current, call, cell_of(call)); })
      .def("add_softmax", &Line::add_softmax, "data"_a, "size"_a)
      .def("step", &Line::step, "x"_a, "out"_a = nb::none())
      .def_rw("number", &Line::number);

  const auto run = [&m](const char* name, void (*Engine::*pass)(const Call&, const Cell&)) {
    m.def(name, [pass](const Call& call) {
      const Cell cell = cell_of(call);  // before another thread may add one
      nb::gil_scoped_release released;
      (current->*pass)(call, cell);
    });
  };
  run("forward", &Engine::forward);
  run("backward", &Engine::backward);
  m.def("lanes", [](bool is_double) { return current->lanes(is_double); }, "is_double"_a);
  m.def("cells", [] {
    nb::list found;
    for (int k = 0; k < current->count; ++k) found.append(describe(*current->cells()[k].program));
    return found;
  });
  m.def("add_cell", [](Address address) {
    added.push_back(*reinterpret_cast<const Cell*>(address));
    nb::dict found = describe(*added.back().program);
    found["number"] = current->count + int(added.size()) - 1;
    return found;
  }, "address"_a);
  m.def("compile_flags", [] { return std::string(current->flags); });
  m.def("instruction_set", [] { return std::string(current->name); });
  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const Engine* engine : runnable()) names.push_back(engine->name);
    return names;
  });
  m.def("use_instruction_set", &use, "name"_a);
  m.def("multipliers", &multipliers);
  m.def("multiplier", [] { return multiplier; });
  m.def("use_multiplier", &use_multiplier, "name"_a);
}

}  // namespace ostinato
