// What the elementwise part of a step sees: a block of batch rows at one step.
#pragma once

#include "vector.h"

namespace ostinato {
namespace OSTINATO_SET {

// For how many vectors of a row a level computes one part, before the next part, which is made of it.
constexpr int kStretch = 8;

// Arrays are [row][part][width] with `width` units, padded to whole vectors; `x_row` is the distance between rows of x.
template <class T>
struct Rows {
  long rows = 0, units = 0, width = 0;
  int phi = 0, sigma = 0;
  T step = 0;
  const T* products = nullptr;  // [columns]
  long products_row = 0;
  const T* input = nullptr;  // one vector, not in parts
  T* input_gradient = nullptr;
  long input_row = 0;
  const T* sequences = nullptr;  // [sequences]
  T* sequence_gradients = nullptr;
  long sequences_row = 0;
  T* state = nullptr;  // [states]: forward, updated in place; backward, before the step
  long state_row = 0;
  T* carry = nullptr;  // [carries]: from one level to the next
  long carry_row = 0;
  T* means = nullptr;
  long means_row = 0;
  T* slots = nullptr;  // [slots]: kept by the forward step; turned into the columns' gradients by the backward step
  long slots_row = 0;
  const T* following = nullptr;  // the slots of the step that comes next
  T* gradient = nullptr;  // [states]: after the step, updated in place to before the step
  long gradient_row = 0;
  const T* parameters = nullptr;
  T* sums = nullptr;  // of the per-unit vectors' gradients; `together` rows add to the same ones
  long sums_row = 0, together = 1, first = 0;

  // Where a row's share of the per-unit vectors' gradients is added up.
  T* sums_of(long row) const { return sums + (first + row) / together * sums_row; }

  // The same block from row `first` on, `count` rows.
  Rows part(long first, long count) const {
    Rows p = *this;
    p.rows = count;
    if (p.products) p.products += first * products_row;
    if (p.input) p.input += first * input_row;
    if (p.input_gradient) p.input_gradient += first * input_row;
    if (p.sequences) p.sequences += first * sequences_row;
    if (p.sequence_gradients) p.sequence_gradients += first * sequences_row;
    if (p.state) p.state += first * state_row;
    if (p.carry) p.carry += first * carry_row;
    if (p.means) p.means += first * means_row;
    if (p.slots) p.slots += first * slots_row;
    if (p.following) p.following += first * slots_row;
    if (p.gradient) p.gradient += first * gradient_row;
    p.first += first;
    return p;
  }
};

}  // namespace OSTINATO_SET
}  // namespace ostinato
