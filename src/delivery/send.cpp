#include <fanfare/delivery/send.hpp>

#include <algorithm>

namespace fanfare::delivery {

std::uint64_t SendView::sent() const noexcept {
    return count(Status::sent) + count(Status::delivered);
}

std::uint64_t SendView::remaining() const noexcept {
    const std::uint64_t settled = sent() + count(Status::failed) + count(Status::cancelled) +
                                  count(Status::suppressed) + count(Status::expired);
    const std::uint64_t left = accepted - std::min(accepted, settled);
    return expanded == 0 ? std::max<std::uint64_t>(left, 1) : left;
}

Status SendView::status() const noexcept {
    if (expanded == 0) return began == 0 ? Status::pending : Status::processing;
    if (remaining() != 0) return Status::processing;
    if (sent() != 0) return Status::sent;
    for (const Status worse : {Status::failed, Status::expired, Status::suppressed})
        if (count(worse) != 0) return worse;
    return cut ? Status::expired : Status::sent;
}

} // namespace fanfare::delivery
