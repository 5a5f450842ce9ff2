#include <fanfare/base/metrics.hpp>
#include <fanfare/base/process_metrics.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

using namespace fanfare;

TEST_CASE("process metrics: descriptors are counted exactly", "[metrics][process]") {
    const std::size_t before = open_descriptors();
    REQUIRE(before >= 3);
    std::vector<int> opened;
    for (int i = 0; i < 25; ++i) opened.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(open_descriptors() == before + 25);
    for (const int fd : opened) ::close(fd);
    CHECK(open_descriptors() == before);
}

TEST_CASE("process metrics: memory, time and limits are plausible and follow the process",
          "[metrics][process]") {
    Metrics metrics;
    register_process_metrics(metrics);
    const double resident = metrics.sum("process_resident_memory_bytes");
    CHECK(resident > 1e6);
    CHECK(metrics.sum("process_virtual_memory_bytes") >= resident);
    CHECK(metrics.sum("process_max_fds") >= metrics.sum("process_open_fds"));
    CHECK(metrics.sum("process_start_time_seconds") > 1.7e9);
    const std::size_t size = std::size_t{64} * 1024 * 1024;
    const std::vector<char> touched(size, 1);
    CHECK(metrics.sum("process_resident_memory_bytes") >
          resident + 0.9 * static_cast<double>(size));
    const double cpu = metrics.sum("process_cpu_seconds_total");
    const auto begin = std::chrono::steady_clock::now();
    volatile unsigned spin = 0;
    while (metrics.sum("process_cpu_seconds_total") <= cpu &&
           std::chrono::steady_clock::now() - begin < std::chrono::seconds{20})
        for (int i = 0; i < 100'000; ++i) spin = spin + 1;
    CHECK(metrics.sum("process_cpu_seconds_total") > cpu);
}
