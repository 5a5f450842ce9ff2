#include "user_clock.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <linux/perf_event.h>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace load {
namespace {

// A prime number of nanoseconds, out of step with the kernel's own ticks.
constexpr std::uint64_t period_ns = 997'001;

// A sample is a record with nothing in it but its header.
constexpr std::size_t record_bytes = sizeof(perf_event_header);
constexpr std::size_t data_pages = 64;

std::size_t page_bytes() {
    return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t ring_bytes() {
    return (1 + data_pages) * page_bytes();
}

} // namespace

UserClock::UserClock(const std::vector<pid_t>& pids) {
    for (const pid_t pid : pids) {
        std::error_code error;
        const std::string folder = "/proc/" + std::to_string(pid) + "/task";
        for (const auto& thread : std::filesystem::directory_iterator{folder, error}) {
            watch(static_cast<pid_t>(std::stol(thread.path().filename().string())));
        }
    }
    available_ = available_ && !counters_.empty();
}

UserClock::~UserClock() {
    for (const Counter& counter : counters_) {
        ::munmap(counter.ring, ring_bytes());
        ::close(counter.fd);
    }
}

void UserClock::watch(pid_t thread) {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    attributes.sample_period = period_ns;
    attributes.exclude_kernel = 1;
    const long opened =
        ::syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (opened < 0) {
        available_ = false;
        return;
    }
    const int fd = static_cast<int>(opened);
    void* const ring = ::mmap(nullptr, ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring == MAP_FAILED) {
        ::close(fd);
        available_ = false;
        return;
    }
    counters_.push_back({fd, ring});
}

std::optional<double> UserClock::seconds() const {
    if (!available_) return std::nullopt;
    std::uint64_t bytes = 0;
    for (const Counter& counter : counters_) {
        // Nothing is taken out, so that what was written is how many there were.
        const auto* const page = static_cast<const volatile perf_event_mmap_page*>(counter.ring);
        const std::uint64_t written = page->data_head;
        if (written + 2 * record_bytes > data_pages * page_bytes()) return std::nullopt;
        bytes += written;
    }
    const std::uint64_t samples = bytes / record_bytes;
    return static_cast<double>(samples * period_ns) / 1e9;
}

} // namespace load
