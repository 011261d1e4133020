// What a printed cell needs, and how the engine gets hold of it.
#pragma once

#include "call.h"
#include "rows.h"

namespace ostinato {
namespace OSTINATO_SET {

template <class C>
Cell cell_of() {
  using F = Vector<float>;
  using D = Vector<double>;
  const auto plain = [](auto function) { return reinterpret_cast<const void*>(function); };
  return {&C::program,
          {plain(&C::template forward<F>), plain(&C::template infer<F>), plain(&C::template backward<F>),
           plain(&C::template derive<F>)},
          {plain(&C::template forward<D>), plain(&C::template infer<D>), plain(&C::template backward<D>),
           plain(&C::template derive<D>)}};
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
