#include <fanfare/base/metrics.hpp>
#include <fanfare/base/process_metrics.hpp>

#include <chrono>
#include <cstdio>
#include <dirent.h>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fanfare {
namespace {

// A directory of a million entries would hold up the reactor that is being scraped.
constexpr std::size_t listed_max = 50'000;

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double cpu_seconds() {
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Field `index` of /proc/self/statm (pages), in bytes; 0 if it cannot be read.
double memory_bytes(int index) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen("/proc/self/statm", "re"),
                                                               &std::fclose};
    unsigned long pages = 0;
    if (!file) return 0;
    for (int i = 0; i <= index; ++i)
        if (std::fscanf(file.get(), "%lu", &pages) != 1) return 0; // NOLINT(cert-err34-c)
    return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double descriptors_max() {
    rlimit limit{};
    return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

} // namespace

std::size_t open_descriptors() noexcept {
    // Since Linux 6.2 the size of this directory is the number of its entries.
    struct stat status {};
    if (::stat("/proc/self/fd", &status) != 0) return 0;
    if (status.st_size > 0) return static_cast<std::size_t>(status.st_size);
    DIR* const directory = ::opendir("/proc/self/fd");
    if (directory == nullptr) return 0;
    std::size_t entries = 0;
    while (entries < listed_max && ::readdir(directory) != nullptr) ++entries; // NOLINT: own DIR
    ::closedir(directory);
    return entries > 3 ? entries - 3 : 0; // `.`, `..` and the listing's own
}

void register_process_metrics(Metrics& metrics) {
    metrics.counter_from("process_cpu_seconds_total", "User and system time of the process.",
                         &cpu_seconds);
    metrics.gauge_from("process_resident_memory_bytes", "Memory of the process that is in RAM.",
                       [] { return memory_bytes(1); });
    metrics.gauge_from("process_virtual_memory_bytes", "Address space of the process.",
                       [] { return memory_bytes(0); });
    metrics.gauge_from("process_open_fds", "Open descriptors.",
                       [] { return static_cast<double>(open_descriptors()); });
    metrics.gauge_from("process_max_fds", "Limit of open descriptors.", &descriptors_max);
    const double started =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    const auto began = std::chrono::steady_clock::now();
    metrics.gauge_from("process_uptime_seconds", "Time since the process started.", [began] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    });
    metrics.gauge_from("process_start_time_seconds", "When the process started, in Unix seconds.",
                       [started] { return started; });
}

} // namespace fanfare
