// The most multiply-adds per second that these processors reach in float: independent chains that live in registers.
#include <numeric>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int width = 16;
#elif defined(__AVX__)
constexpr int width = 8;
#else
constexpr int width = 4;
#endif
constexpr int chains = 12;  // latency 4, two units: at least 8; 12 leave room in 16 registers

typedef float Vector __attribute__((vector_size(width * sizeof(float))));

static void work(float seed, long long steps, float* sink) {
    Vector sum[chains], factor, term;
    for (int lane = 0; lane < width; ++lane) {
        factor[lane] = 0.5f + seed;
        term[lane] = seed;
    }
    for (int chain = 0; chain < chains; ++chain) sum[chain] = term * float(chain);
    for (long long step = 0; step < steps; ++step)
        for (int chain = 0; chain < chains; ++chain) sum[chain] = sum[chain] * factor + term;
    float total = 0;
    for (int chain = 0; chain < chains; ++chain)
        for (int lane = 0; lane < width; ++lane) total += sum[chain][lane];
    *sink = total;
}

// Every chain makes `steps` steps on each of `threads` threads; returns the sum of all their ends.
extern "C" double multiply_adds(long long steps, int threads) {
    std::vector<float> sinks(threads);
    std::vector<std::thread> team;
    for (int i = 0; i < threads; ++i) team.emplace_back(work, 1e-3f * float(i + 1), steps, &sinks[i]);
    for (auto& one : team) one.join();
    return std::accumulate(sinks.begin(), sinks.end(), 0.0);
}

// How many operations that is: two for each multiply-add of each lane.
extern "C" double operations(long long steps, int threads) { return 2.0 * width * chains * double(steps) * threads; }
