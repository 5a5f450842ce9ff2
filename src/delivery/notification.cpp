#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/delivery/notification.hpp>

#include <algorithm>
#include <cstring>

namespace fanfare::delivery {
namespace {

constexpr std::array<std::string_view, status_count> status_names{
    "pending", "processing", "sent",      "delivered",  "retry",
    "failed",  "scheduled",  "cancelled", "suppressed", "expired"};
constexpr std::array<std::string_view, 4> priority_names{"critical", "high", "normal", "low"};
constexpr std::array<std::string_view, 4> channel_names{"realtime", "push", "email", "sms"};
constexpr std::array<std::string_view, event_count> event_names{
    "accepted",    "sent",           "not_acknowledged", "waiting",  "acknowledged", "collapsed",
    "expired",     "processing",     "failed",           "returned", "push_sent",    "push_retry",
    "push_failed", "device_dropped", "redriven",         "discarded"};

/// The statuses that one may become, as a set of bits.
constexpr unsigned bit(Status status) {
    return 1U << static_cast<unsigned>(status);
}
constexpr unsigned next_of(Status from) {
    switch (from) {
    case Status::scheduled:
        return bit(Status::pending) | bit(Status::cancelled) | bit(Status::expired);
    case Status::pending:
        return bit(Status::processing) | bit(Status::delivered) | bit(Status::cancelled) |
               bit(Status::suppressed) | bit(Status::expired);
    case Status::processing:
        return bit(Status::sent) | bit(Status::delivered) | bit(Status::retry) |
               bit(Status::failed) | bit(Status::suppressed) | bit(Status::expired);
    case Status::retry:
        return bit(Status::processing) | bit(Status::delivered) | bit(Status::failed) |
               bit(Status::suppressed) | bit(Status::expired);
    case Status::sent:
    case Status::failed:
        return bit(Status::delivered); // a late acknowledgement
    case Status::delivered:
    case Status::cancelled:
    case Status::suppressed:
    case Status::expired:
        break;
    }
    return 0;
}
/// Moves that come of an operator's decision alone. They keep nothing alive.
constexpr unsigned redriven_of(Status from) {
    return from == Status::failed || from == Status::expired ? bit(Status::processing) : 0U;
}

} // namespace

NotificationId NotificationId::make(WallMillis now) {
    NotificationId id;
    random_bytes(id.bytes_.data(), id.bytes_.size());
    for (std::size_t i = 0; i < 6; ++i)
        id.bytes_[i] = static_cast<char>(static_cast<std::uint64_t>(now) >> (8 * (5 - i)));
    return id;
}

std::optional<NotificationId> NotificationId::parse(std::string_view text) {
    const auto raw = from_base64url(text);
    if (!raw || raw->size() != bytes) return std::nullopt;
    NotificationId id;
    std::memcpy(id.bytes_.data(), raw->data(), bytes);
    return id;
}

NotificationId NotificationId::from_raw(std::string_view raw) {
    FANFARE_ASSERT(raw.size() == bytes);
    NotificationId id;
    std::copy(raw.begin(), raw.end(), id.bytes_.begin());
    return id;
}

std::string NotificationId::text() const {
    return to_base64url(as_byte_view(raw()));
}

std::string_view status_name(Status status) noexcept {
    return status_names[static_cast<std::size_t>(status)];
}

bool may_become(Status from, Status to) noexcept {
    return ((next_of(from) | redriven_of(from)) & bit(to)) != 0;
}

bool is_final(Status status) noexcept {
    return (next_of(status) & ~bit(Status::delivered)) == 0;
}

bool is_over(Status status) noexcept {
    return next_of(status) == 0;
}

std::string_view priority_name(Priority priority) noexcept {
    return priority_names[static_cast<std::size_t>(priority)];
}

std::optional<Priority> parse_priority(std::string_view name) noexcept {
    const auto at = std::find(priority_names.begin(), priority_names.end(), name);
    if (at == priority_names.end()) return std::nullopt;
    return static_cast<Priority>(at - priority_names.begin());
}

std::string_view channel_name(Channel channel) noexcept {
    const auto at = std::find(all_channels.begin(), all_channels.end(), channel);
    return channel_names[static_cast<std::size_t>(at - all_channels.begin())];
}

std::optional<Channel> parse_channel(std::string_view name) noexcept {
    const auto at = std::find(channel_names.begin(), channel_names.end(), name);
    if (at == channel_names.end()) return std::nullopt;
    return all_channels[static_cast<std::size_t>(at - channel_names.begin())];
}

std::string_view event_name(Event event) noexcept {
    return event_names[static_cast<std::size_t>(event)];
}

} // namespace fanfare::delivery
