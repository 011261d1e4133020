// What a thread brings along: scratch memory that it keeps between calls, and its floating-point mode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace ostinato {
namespace OSTINATO_SET {

// Flushes denormal numbers to zero while it lives: one step on denormals costs as much as twenty others.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" ::"r"(before_ | (std::uint64_t{1} << 24)));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }

 private:
  std::uint64_t before_;
#endif
};

// Memory of one thread that grows to the largest call it has served.
class Arena {
 public:
  ~Arena() { std::free(memory_); }

  // The arena's memory as one aligned array of `bytes`.
  void* take(std::size_t bytes) {
    if (bytes > size_) {
      std::free(memory_);
      size_ = (bytes + 4095) / 4096 * 4096;
      memory_ = std::aligned_alloc(4096, size_);
      if (!memory_) {
        size_ = 0;
        throw std::bad_alloc();
      }
    }
    return memory_;
  }

 private:
  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

// Hands out consecutive arrays; with no memory behind it, only counts how much is needed.
class Carver {
 public:
  explicit Carver(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}
  std::size_t used() const { return used_; }

  template <class T>
  T* array(long count) {
    char* start = memory_ ? memory_ + used_ : nullptr;
    used_ += (std::size_t(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(start);
  }

 private:
  char* memory_;
  std::size_t used_ = 0;
};

}  // namespace OSTINATO_SET
}  // namespace ostinato
