// The most multiply-adds per second that these processors reach in float: independent chains that live in registers.
#include <chrono>
#include <cstdio>
#include <cstdlib>
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
constexpr long steps = 40'000'000;

typedef float Vector __attribute__((vector_size(width * sizeof(float))));

static void work(float seed, float* sink) {
    Vector sum[chains], factor, term;
    for (int lane = 0; lane < width; ++lane) {
        factor[lane] = 0.5f + seed;
        term[lane] = seed;
    }
    for (int chain = 0; chain < chains; ++chain) sum[chain] = term * float(chain);
    for (long step = 0; step < steps; ++step)
        for (int chain = 0; chain < chains; ++chain) sum[chain] = sum[chain] * factor + term;
    float total = 0;
    for (int chain = 0; chain < chains; ++chain)
        for (int lane = 0; lane < width; ++lane) total += sum[chain][lane];
    *sink = total;
}

int main(int argc, char** argv) {
    int threads = argc > 1 ? std::atoi(argv[1]) : 1;
    std::vector<float> sinks(threads);
    double best = 0;
    for (int round = 0; round < 5; ++round) {
        std::vector<std::thread> team;
        auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < threads; ++i) team.emplace_back(work, 1e-3f * (i + argc), &sinks[i]);
        for (auto& one : team) one.join();
        double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        double rate = 2.0 * width * chains * steps * threads / seconds / 1e9;
        if (rate > best) best = rate;
    }
    std::printf("%.1f\n", best);
    return sinks[0] == 12345.0f;
}
