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
// keeps, up to 32, where reading the matrices is the lesser part of a step. Smaller matrices need no company.
template <class T>
long crews_of(const Layout<T>& layout, const Matrices<T>& matrices, long threads) {
  const long rows = std::min(matrices.bytes() >> 19, 32L);
  if (rows == 0 || layout.program.clock_state >= 0 || layout.call.reach) return threads;
  return std::clamp(layout.call.batch / rows, 1L, threads);
}

// Of so many crews, how many threads work: each reads a quarter of a megabyte of the matrices or more, or they would meet for
// longer than they save. The others have nothing to do.
template <class T>
long working(const Matrices<T>& matrices, long crews, long threads) {
  return std::min(threads, crews * std::max(matrices.bytes() >> 18, 1L));
}

// Calls `work(block, scratch, crew)` for the rows of this thread's crew, block by block.
template <class T, class Work>
void for_blocks(const Layout<T>& layout, const Matrices<T>& matrices, bool backward, const Team& team, Meeting* meetings,
                Work work) {
  constexpr long kMostRows = 96;
  const Call& call = layout.call;
  const long crews = crews_of(layout, matrices, team.size), threads = working(matrices, crews, team.size);
  if (team.rank >= threads) return;
  const long number = team.rank * crews / threads;
  const auto leader = [&](long of) { return int((of * threads + crews - 1) / crews); };
  Meeting& meeting = meetings[number];
  const Team crew{team.rank - leader(number), leader(number + 1) - leader(number), &meeting.barrier};

  const bool ragged = call.alive != 0;  // rows of like length to every crew
  const long together = layout.together, groups = layout.groups();
  const long first = ragged ? number : number * groups / crews * together;
  const long step = ragged ? crews : 1;
  const long count = ragged ? (call.batch - number + crews - 1) / crews
                            : std::min((number + 1) * groups / crews * together, call.batch) - first;
  const long pieces = (count + kMostRows - 1) / kMostRows, parts = (count + together - 1) / together;
  thread_local Arena arena;
  for (long piece = 0; piece < pieces; ++piece) {
    const long from = piece * parts / pieces * together, to = std::min((piece + 1) * parts / pieces * together, count);
    if (from == to) continue;
    const Block block{first + from * step, step, to - from};
    Carver need;
    Scratch<T>(layout, block.count, crew.size, backward, need);
    crew.wait();  // until the block before needs its memory no more
    if (crew.rank == 0) meeting.memory = arena.take(need.used());
    crew.wait();
    Carver carver(meeting.memory);
    work(block, Scratch<T>(layout, block.count, crew.size, backward, carver), crew);
  }
}

}  // namespace OSTINATO_SET
}  // namespace ostinato
