// How the threads of a call share its rows.
//
// A crew, of one thread as a rule, takes blocks of batch rows through all the steps; a row never waits for those of another
// crew. In a crew of several each thread sees to some of the rows and, in the products, to some panels of the matrices for
// all of the rows: where few rows meet large matrices, every thread would otherwise read all of these at every step. Where
// matrices are small and rows fewer than threads, a thread without rows may help a crew of one (`Pipe`).
#pragma once

#include <algorithm>
#include <memory>

#include "block.h"

namespace ostinato {
namespace OSTINATO_SET {

// Where the threads of a crew meet, and the memory of their block.
struct Meeting {
  Barrier barrier;
  Pipe pipe;
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

// Whether it is worth it to wake threads without rows, so that they make the products of the input for those that have some.
template <class T>
bool helps(const Layout<T>& layout, long rows) {
  constexpr long kWorth = 1 << 21;  // multiply-adds: some 15 microseconds of AVX-512
  const Program& program = layout.program;
  long columns = 0;
  for (int p = 0; p < program.products; ++p)
    if (program.product[p].term[0].vector == 0) columns += program.product[p].columns;
  return !layout.parts && steps_ahead(layout, rows) > 1 &&
         layout.call.steps * rows * layout.call.input_size * columns * layout.width >= kWorth;
}

// Whether to ask for helpers. For one that sleeps, or whose processor another program has, a call may wait longer than it
// gains: after that so many calls go without, and twice as many the next time.
class Helpers {
 public:
  using Clock = Pipe::Clock;

  bool ask() { return skip_ == 0 || skip_-- == 0; }
  // A call with helpers began at `start`, its caller waited for so long and was done at `done`, and all are now.
  void came(Clock::time_point start, Clock::duration waited, Clock::time_point done) {
    const auto end = Clock::now();
    const bool late = waited + (end - done) > (end - start) / 4;
    missed_ = late ? std::min(missed_ + 1, 10) : std::max(missed_ - 1, 0);
    if (late) skip_ = 1L << missed_;
  }

 private:
  int missed_ = 0;
  long skip_ = 0;
};

// How the rows of a call are divided: among crews, and by each crew into blocks.
template <class T>
class Division {
 public:
  Division(const Layout<T>& layout, const Matrices<T>& matrices, long threads, bool backward, bool help)
      : layout_(layout),
        backward_(backward),
        crews_(crews_of(layout, matrices, threads)),
        threads_(working(matrices, crews_, threads)),
        helped_(help && threads_ == crews_ && 2 * crews_ <= threads &&
                helps(layout, (layout.call.batch + crews_ - 1) / crews_)) {}

  // How many have something to do.
  long threads() const { return helped_ ? 2 * crews_ : threads_; }
  long crew_of(long thread) const { return helped_ ? thread % crews_ : thread * crews_ / threads_; }
  bool helped() const { return helped_; }
  // Those of a team that have rows.
  Team workers(const Team& team) const { return {team.rank, helped_ ? int(crews_) : team.size, team.barrier}; }
  // Whether a thread has no rows, and helps its crew's.
  bool helper(long thread) const { return helped_ && thread >= crews_; }
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

  Scratch<T> scratch(long crew, const Block& block, Meeting& meeting, Carver& carver) const {
    return Scratch<T>(layout_, block.count, size(crew), backward_, helped_ ? &meeting.pipe : nullptr, carver);
  }

  // Memory for each crew, enough for any of its blocks; false where there is not as much.
  bool take(Meeting* meetings, Arena& arena) const {
    Carver counter;
    carve(meetings, counter);
    try {
      Carver carver(arena.take(counter.used()));
      carve(meetings, carver);
      return true;
    } catch (const std::bad_alloc&) {  // which must not leave a parallel region
      return false;
    }
  }

 private:
  void carve(Meeting* meetings, Carver& carver) const {
    for (long crew = 0; crew < crews_; ++crew) {
      std::size_t most = 0;
      blocks(crew, [&](const Block& block) {
        Carver need;
        scratch(crew, block, meetings[crew], need);
        most = std::max(most, need.used());
      });
      meetings[crew].memory = carver.array<char>(rounded(long(most), 4096));
    }
  }

  const Layout<T>& layout_;
  const bool backward_;
  const long crews_, threads_;
  const bool helped_;
};

// Calls `work(block, scratch, crew)` for the rows of this thread's crew, block by block.
template <class T, class Work>
void for_blocks(const Division<T>& division, const Team& team, Meeting* meetings, Work work) {
  if (team.rank >= division.threads()) return;
  const long number = division.crew_of(team.rank);
  Meeting& meeting = meetings[number];
  const int rank = division.helper(team.rank) ? 0 : team.rank - division.leader(number);
  const Team crew{rank, division.size(number), &meeting.barrier};
  division.blocks(number, [&](const Block& block) {
    crew.wait();  // until the block before needs its memory no more
    Carver carver(meeting.memory);
    work(block, division.scratch(number, block, meeting, carver), crew);
  });
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
