// How the threads of a call share its rows.
//
// A crew, of one thread as a rule, takes blocks of batch rows through all the steps; a row never waits for those of another
// crew. In a crew of several each thread sees to some of the rows and, in the products, to some panels of the matrices for
// all of the rows: where few rows meet large matrices, every thread would otherwise read all of these at every step.
#pragma once

#include <memory>

#include "block.h"

namespace ostinato {
namespace OSTINATO_SET {

// Where the threads of a crew meet, and the memory of their block.
struct Meeting {
  Barrier barrier;
  void* memory;
};

// In how many crews the threads work: each has as many rows as the matrices have half megabytes, about what a core's cache
// keeps, up to 64, where reading the matrices is the lesser part of a step. Smaller matrices need no company.
template <class T>
long crews_of(const Layout<T>& layout, const Matrices<T>& matrices, long threads) {
  const long rows = std::min(matrices.bytes() >> 19, 64L);
  if (layout.partial()) return threads;
  if (rows == 0) return std::min(threads, layout.groups());
  return std::clamp(layout.call.batch / rows, 1L, threads);
}

// Of so many crews, how many threads work: each reads a quarter of a megabyte of the matrices or more, or they would meet for
// longer than they save. The others have nothing to do.
template <class T>
long working(const Matrices<T>& matrices, long crews, long threads) {
  return std::min(threads, crews * std::max(matrices.bytes() >> 18, 1L));
}

// How the rows of a call are divided: among crews, and by each crew into blocks.
template <class T>
class Division {
 public:
  Division(const Layout<T>& layout, const Matrices<T>& matrices, long threads)
      : layout_(layout), crews_(crews_of(layout, matrices, threads)), threads_(working(matrices, crews_, threads)) {}

  long threads() const { return threads_; }
  long crew_of(long thread) const { return thread * crews_ / threads_; }
  int leader(long crew) const { return int((crew * threads_ + crews_ - 1) / crews_); }
  int size(long crew) const { return leader(crew + 1) - leader(crew); }

  // Calls `work(block)` for the rows of a crew, block by block.
  template <class Work>
  void blocks(long crew, Work work) const {
    constexpr long kMostRows = 96;
    const Call& call = layout_.call;
    const bool ragged = call.alive != 0;  // rows of like length to every crew
    const long together = layout_.together, groups = layout_.groups();
    const long first = ragged ? crew : crew * groups / crews_ * together;
    const long step = ragged ? crews_ : 1;
    const long count = ragged ? (call.batch - crew + crews_ - 1) / crews_
                              : std::min((crew + 1) * groups / crews_ * together, call.batch) - first;
    const long pieces = (count + kMostRows - 1) / kMostRows, parts = (count + together - 1) / together;
    for (long piece = 0; piece < pieces; ++piece) {
      const long from = piece * parts / pieces * together, to = std::min((piece + 1) * parts / pieces * together, count);
      if (from < to) work(Block{first + from * step, step, to - from});
    }
  }

  // Memory for each crew, enough for any of its blocks; false where there is not as much.
  bool take(Meeting* meetings, bool backward, Arena& arena) const {
    Carver counter;
    carve(meetings, backward, counter);
    try {
      Carver carver(arena.take(counter.used()));
      carve(meetings, backward, carver);
      return true;
    } catch (const std::bad_alloc&) {  // which must not leave a parallel region
      return false;
    }
  }

 private:
  void carve(Meeting* meetings, bool backward, Carver& carver) const {
    for (long crew = 0; crew < crews_; ++crew) {
      std::size_t most = 0;
      blocks(crew, [&](const Block& block) {
        Carver need;
        Scratch<T>(layout_, block.count, size(crew), backward, need);
        most = std::max(most, need.used());
      });
      meetings[crew].memory = carver.array<char>(rounded(long(most), 4096));
    }
  }

  const Layout<T>& layout_;
  const long crews_, threads_;
};

// Calls `work(block, scratch, crew)` for the rows of this thread's crew, block by block.
template <class T, class Work>
void for_blocks(const Layout<T>& layout, const Division<T>& division, bool backward, const Team& team, Meeting* meetings,
                Work work) {
  if (team.rank >= division.threads()) return;
  const long number = division.crew_of(team.rank);
  Meeting& meeting = meetings[number];
  const Team crew{team.rank - division.leader(number), division.size(number), &meeting.barrier};
  division.blocks(number, [&](const Block& block) {
    crew.wait();  // until the block before needs its memory no more
    Carver carver(meeting.memory);
    work(block, Scratch<T>(layout, block.count, crew.size, backward, carver), crew);
  });
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
