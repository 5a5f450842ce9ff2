#include "process_stats.hpp"

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

namespace load {
namespace {

/// The bytes behind `key` in lines such as "VmRSS:     1234 kB"; 0 when there is none.
std::uint64_t kilobytes_of(const std::string& path, std::string_view key) {
    std::ifstream file{path};
    std::string line;
    while (std::getline(file, line)) {
        if (line.starts_with(key)) return std::stoull(line.substr(key.size())) * 1024;
    }
    return 0;
}

void add_cpu_time(const std::string& path, ProcessStats& stats) {
    std::ifstream file{path};
    std::string line;
    std::getline(file, line);
    // The second field, the name in parentheses, may hold blanks and parentheses; the fields are
    // counted from the last closing one. utime and stime are the 14th and 15th (proc(5)).
    const std::size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) return;
    std::istringstream fields{line.substr(name_end + 1)};
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double user_ticks = 0;
    double system_ticks = 0;
    fields >> user_ticks >> system_ticks;
    const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
    stats.user_s += user_ticks / ticks_per_second;
    stats.system_s += system_ticks / ticks_per_second;
}

/// Time on a core, exact, of all threads there are. Empty where the kernel does not keep it.
std::optional<double> run_time(const std::string& folder) {
    std::error_code error;
    std::filesystem::directory_iterator threads{folder + "/task", error};
    if (error) return std::nullopt;
    double sum_ns = 0;
    for (const auto& thread : threads) {
        std::ifstream file{thread.path() / "schedstat"};
        double ns = 0;
        if (file >> ns) sum_ns += ns;
    }
    return sum_ns > 0 ? std::optional{sum_ns / 1e9} : std::nullopt;
}

} // namespace

ProcessStats sample(const std::vector<pid_t>& pids) {
    ProcessStats stats;
    stats.readable = !pids.empty();
    for (const pid_t pid : pids) {
        const std::string folder = "/proc/" + std::to_string(pid);
        const std::uint64_t rss = kilobytes_of(folder + "/status", "VmRSS:");
        stats.readable = stats.readable && rss > 0;
        stats.rss_bytes += rss;
        stats.rss_bytes_max += kilobytes_of(folder + "/status", "VmHWM:");
        stats.anonymous_bytes += kilobytes_of(folder + "/smaps_rollup", "Anonymous:");
        const double ticks_before = stats.user_s + stats.system_s;
        add_cpu_time(folder + "/stat", stats);
        stats.run_s += run_time(folder).value_or(stats.user_s + stats.system_s - ticks_before);
    }
    return stats;
}

ProcessStats sample_own() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto to_s = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    ProcessStats stats;
    stats.user_s = to_s(usage.ru_utime);
    stats.system_s = to_s(usage.ru_stime);
    stats.run_s = stats.user_s + stats.system_s;
    stats.readable = true;
    return stats;
}

} // namespace load
