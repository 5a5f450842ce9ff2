#pragma once
// Who is in a room: users with their number of sessions, and how many anonymous sessions.
//
// A user whose last session went away stays for the linger time, so that a reconnect makes no
// noise. The linger time is the same for all, so those who are leaving form a queue by time.

#include <fanfare/base/clock.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::room {

class Presence {
  public:
    struct Member {
        std::uint32_t sessions = 0; // 0: lingering
        std::string info;           // the newest session's claim
        MonoMillis leaves_at = 0;   // while lingering
    };

    /// One more session. True: the user was not here before (`join`).
    bool enter(std::string_view user, std::string_view info);
    /// One session less. The user leaves at `now + linger` unless someone enters before.
    void leave(std::string_view user, MonoMillis now, std::chrono::milliseconds linger);
    void enter_anonymous() noexcept { ++anonymous_; }
    void leave_anonymous() noexcept {
        // Presence may have been switched on after they came.
        if (anonymous_ != 0) --anonymous_;
    }

    /// Takes out those whose linger time is over (`leave`), in that order.
    [[nodiscard]] std::vector<std::string> expire(MonoMillis now);
    /// When `expire` has something to do next; nothing if no one lingers.
    [[nodiscard]] std::optional<MonoMillis> next_expiry() const;

    [[nodiscard]] const std::map<std::string, Member, std::less<>>& members() const noexcept {
        return members_;
    }
    [[nodiscard]] std::uint64_t total() const noexcept { return members_.size() + anonymous_; }
    [[nodiscard]] bool empty() const noexcept { return members_.empty() && anonymous_ == 0; }

  private:
    struct Lingering {
        MonoMillis leaves_at;
        std::string user;
    };
    std::map<std::string, Member, std::less<>> members_;
    std::deque<Lingering> lingering_; // stale entries are skipped: the member tells
    std::uint64_t anonymous_ = 0;
};

} // namespace fanfare::room
