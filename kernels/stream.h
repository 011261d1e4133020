// A cell one step at a time: its weights are packed once, and its scratch stays.
#pragma once

#include <new>

#include "scan.h"

namespace ostinato {
namespace OSTINATO_SET {

// Lives in memory of its caller's, in front of all that it points to.
template <class T>
class Stream {
 public:
  static std::size_t size(const Call& call, const Kernels<T>& kernels) {
    Carver counter;
    counter.array<Stream>(1);
    Stream(call, kernels, counter);
    return counter.used();
  }

  // Packs the weights, which are not read afterwards. `memory` is aligned to 64 bytes.
  static void open(const Call& call, const Kernels<T>& kernels, void* memory) {
    Carver carver(memory);
    Stream* stream = new (carver.array<Stream>(1)) Stream(call, kernels, carver);
    Barrier alone;
    stream->matrices_.pack(stream->layout_, kernels.derive, Team{0, 1, &alone});
  }

  // From the states at the call's `initial` to those at `final`, which may be the same place.
  void step(long number) {
    call_.origin = number;
    const FlushDenormals mode;
    const TileShapes shapes;
    Barrier alone;
    forward_block(layout_, kernels_, matrices_, scratch_, Block{0, 1, call_.batch}, Team{0, 1, &alone});
  }

 private:
  Stream(const Call& call, const Kernels<T>& kernels, Carver& carver)
      : call_(call),
        kernels_(kernels),
        layout_(call_, *kernels.program),
        matrices_(layout_, false, carver),
        scratch_(layout_, call.batch, 1, false, nullptr, carver) {}

  Call call_;
  const Kernels<T> kernels_;
  const Layout<T> layout_;
  const Matrices<T> matrices_;
  const Scratch<T> scratch_;
};

}  // namespace OSTINATO_SET
}  // namespace ostinato
