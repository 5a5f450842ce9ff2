#include <fanfare/net/admission.hpp>

#include <algorithm>
#include <limits>
#include <sys/resource.h>

namespace fanfare::net {

Admission::Admission(std::size_t max, std::size_t own) {
    rlimit limit{};
    std::size_t descriptors = std::numeric_limits<std::size_t>::max();
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        descriptors = static_cast<std::size_t>(limit.rlim_cur);
    const std::size_t usable = descriptors > 2 * own ? descriptors - own : descriptors / 2;
    // A slice above the soft limit serves the refusals.
    const std::size_t slice = std::min<std::size_t>(512, usable / 8 + 1);
    soft_ = max != 0 ? std::min(max, usable - slice) : usable - slice;
    hard_ = std::min(usable, soft_ + slice);
}

Admission::Verdict Admission::enter() noexcept {
    const std::size_t before = open_.fetch_add(1, std::memory_order_relaxed);
    if (before < soft_) return Verdict::accept;
    if (before < hard_) return Verdict::shed;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::refuse;
}

} // namespace fanfare::net
