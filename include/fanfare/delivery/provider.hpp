#pragma once
// The contract of a vendor's push service: one notification to one device.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/delivery/devices.hpp>
#include <fanfare/delivery/notification.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::delivery {

/// What a notification says, for all platforms. Views live until `Provider::send` returns.
struct PushContent {
    std::string_view title; // empty: none
    std::string_view body;  // empty: none
    std::string_view data;  // JSON, as it came; empty: none
    std::string_view category;
    std::string_view collapse_key;
    std::string_view sound; // empty: the platform's default, if there is anything to see
    std::optional<std::uint32_t> badge;
    bool silent = false; // wakes the app, shows nothing
    Priority priority = Priority::normal;
    WallMillis expires = 0;
};

/// What an answer means for the one push, and for what comes behind it.
enum class PushVerdict : std::uint8_t {
    done,        // the service took it
    drop_device, // the token is dead, since `dead_since`
    fix,         // this push can never succeed; others may
    later,       // again, after `retry_after` (this device)
    pause,       // again, and nothing to this credential before `retry_after`
    stop,        // the credential is refused: an operator must act
};
struct PushOutcome {
    PushVerdict verdict = PushVerdict::later;
    int status = 0;          // HTTP; 0: no answer
    std::string reason;      // the service's word, or ours ("connection lost"); never a token
    std::string provider_id; // the service's name for it; empty: none
    std::optional<std::chrono::milliseconds> retry_after; // as the service asked
    WallMillis dead_since = 0;                            // drop_device; 0: not told
    bool not_attempted = false; // the service never saw it: it does not count as an attempt
    bool torn = false; // its connection broke: those that were on it say so in the same turn
};

/// One credential of one vendor, on one reactor. All calls on it; `done` too, possibly before
/// `send` returns.
class Provider {
  public:
    virtual ~Provider() = default;
    /// For metrics and timelines, e.g. "apns".
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
    /// Which of several credentials of this vendor it is: the name of its app. Empty: the one
    /// without a name.
    [[nodiscard]] virtual std::string_view app() const noexcept { return {}; }
    /// Why this content cannot be sent to any device of the platform (too large); no error: it can.
    [[nodiscard]] virtual Error check(const PushContent& content) const = 0;
    /// How many more pushes it takes now.
    [[nodiscard]] virtual std::size_t room() const noexcept = 0;
    /// `id` is the same for each attempt, so that the service may tell repeats.
    virtual void send(const NotificationId& id, const PushContent& content,
                      const PushDevice& device, std::function<void(PushOutcome)> done) = 0;
};

} // namespace fanfare::delivery
