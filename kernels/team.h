// The threads that serve one call, and where they meet.
//
// OpenMP starts them (so that they are the same threads, as many, as PyTorch's); inside, they meet at a barrier of ours:
// OpenMP's own spins for milliseconds, which costs a hundred times the work where a core is shared with another program.
#pragma once

#include <omp.h>
#include <sched.h>

#include <atomic>

#include "thread.h"
#include "tiles.h"

namespace ostinato {
namespace OSTINATO_SET {

// How a thread waits for another that is about to be there: spinning, and if it takes long, yielding.
class Patience {
 public:
  void wait() {
    if (spins_ == kSpins) {
      sched_yield();
    } else {
      ++spins_;
      pause();
    }
  }

 private:
  static constexpr int kSpins = 2000;  // some tens of microseconds
  static void pause() {
#if defined(__SSE__)
    _mm_pause();
#endif
  }

  int spins_ = 0;
};

class Barrier {
 public:
  void wait(int threads) {
    const int phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (Patience patience; phase_.load(std::memory_order_acquire) == phase;) patience.wait();
  }

 private:
  std::atomic<int> arrived_{0}, phase_{0};
};

// One thread's view of the team.
struct Team {
  int rank, size;
  Barrier* barrier;

  void wait() const {
    if (size > 1) barrier->wait(size);
  }
  // This thread's share of `count` equal items: first and last.
  long first(long count) const { return rank * count / size; }
  long last(long count) const { return (rank + 1) * count / size; }
};

// Runs `work(team)` on every thread of a team, denormals flushed.
template <class Work>
void run_team(int threads, Work work) {
  Barrier barrier;
  if (threads == 1) {
    const FlushDenormals mode;
    const TileShapes shapes;
    work(Team{0, 1, &barrier});
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const FlushDenormals mode;
    const TileShapes shapes;
    const Team team{omp_get_thread_num(), omp_get_num_threads(), &barrier};
    work(team);
    team.wait();  // so that nobody waits at OpenMP's
  }
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
