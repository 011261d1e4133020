// Layers behind each other, taken one step at a time from arrays of NumPy to arrays of NumPy.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "call.h"

namespace ostinato {

namespace nb = nanobind;

// What an object shows of its memory.
class View {
 public:
  View(nb::handle object, bool writable) {
    const int flags = PyBUF_ND | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);  // without strides: contiguous
    open_ = PyObject_GetBuffer(object.ptr(), &view_, flags) == 0;
    if (!open_) PyErr_Clear();
  }
  ~View() {
    if (open_) PyBuffer_Release(&view_);
  }
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  // The number of dimensions, if it holds `rows` times `size` numbers: as (rows, size), or one row as (size); else 0.
  int fits(bool is_double, long rows, long size) const {
    if (!open_ || !view_.format || view_.format[0] != (is_double ? 'd' : 'f') || view_.format[1]) return 0;
    if (view_.ndim == 2) return view_.shape[0] == rows && view_.shape[1] == size ? 2 : 0;
    return view_.ndim == 1 && rows == 1 && view_.shape[0] == size ? 1 : 0;
  }
  void* data() const { return view_.buf; }

 private:
  Py_buffer view_;
  bool open_;
};

class Line {
 public:
  long number = 0;  // of the next step

  // `rows` is the array (batch, outputs) that the last layer writes, `row` the same one as (outputs) if the batch is 1.
  // `convert` makes of what is no fitting array one, or raises.
  Line(bool is_double, long input_size, Address input, nb::object rows, nb::object row, nb::object convert)
      : double_(is_double), input_size_(input_size), input_(input), rows_(rows), row_(row), convert_(convert) {
    batch_ = nb::cast<long>(rows.attr("shape")[0]);
    output_size_ = nb::cast<long>(rows.attr("shape")[1]);
    output_ = nb::cast<Address>(rows.attr("ctypes").attr("data"));
  }

  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void add_layer(const Engine& engine, const Call& call, const Cell& cell) {
    Stage stage{&engine};
    const std::size_t size = (engine.stream_size(call, cell) + 63) / 64 * 64;
    stage.memory.reset(std::aligned_alloc(64, size));
    if (!stage.memory) throw std::bad_alloc();
    engine.open_stream(call, cell, stage.memory.get());
    stages_.push_back(std::move(stage));
  }

  // Turns each of the batch's rows of `size` numbers into shares of 1, where they stand.
  void add_softmax(Address data, long size) {
    Stage stage{};
    stage.data = data;
    stage.size = size;
    stages_.push_back(std::move(stage));
  }

  nb::object step(nb::handle x, nb::handle out) {
    if (!out.is_none()) return step_into(x, out);
    return run(x) == 1 ? row_ : rows_;
  }

 private:
  nb::object step_into(nb::handle x, nb::handle out) {
    const View view(out, true);
    if (!view.fits(double_, batch_, output_size_)) {
      const std::string rows = std::to_string(batch_), size = std::to_string(output_size_);
      throw std::invalid_argument("out does not fit; expected a writable array, contiguous, of " +
                                  std::string(double_ ? "float64" : "float32") + " with the shape (" + rows + ", " + size +
                                  ")" + (batch_ == 1 ? " or (" + size + ",)" : ""));
    }
    run(x);
    std::memcpy(view.data(), at(output_), batch_ * output_size_ * (double_ ? 8 : 4));
    return nb::borrow(out);
  }

  // A step; tells the dimensions of its input.
  int run(nb::handle x) {
    const int dimensions = take(x);
    for (const Stage& stage : stages_) {
      if (stage.engine)
        stage.engine->stream_step(stage.memory.get(), double_, number);
      else if (double_)
        softmax<double>(stage);
      else
        softmax<float>(stage);
    }
    ++number;
    return dimensions;
  }

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  struct Stage {
    const Engine* engine = nullptr;  // null: a softmax
    std::unique_ptr<void, Free> memory;
    Address data = 0;
    long size = 0;
  };

  static void* at(Address address) { return reinterpret_cast<void*>(address); }

  // Copies the input of a step to where the first layer reads it, and tells its dimensions.
  int take(nb::handle x) const {
    {
      const View view(x, false);
      if (const int dimensions = copied(view)) return dimensions;
    }
    const nb::object converted = convert_(x);
    const View view(converted, false);
    const int dimensions = copied(view);
    if (!dimensions) throw std::logic_error("an input was converted to one that does not fit");
    return dimensions;
  }
  int copied(const View& view) const {
    const int dimensions = view.fits(double_, batch_, input_size_);
    if (dimensions) std::memmove(at(input_), view.data(), batch_ * input_size_ * (double_ ? 8 : 4));
    return dimensions;
  }

  template <class T>
  void softmax(const Stage& stage) const {
    T* row = static_cast<T*>(at(stage.data));
    for (long j = 0; j < batch_; ++j, row += stage.size) {
      const T most = *std::max_element(row, row + stage.size);
      T sum = 0;
      for (long k = 0; k < stage.size; ++k) sum += row[k] = std::exp(row[k] - most);
      for (long k = 0; k < stage.size; ++k) row[k] /= sum;
    }
  }

  const bool double_;
  const long input_size_;
  long batch_, output_size_;
  const Address input_;
  Address output_;
  const nb::object rows_, row_, convert_;
  std::vector<Stage> stages_;
};

}  // namespace ostinato
