#pragma once
// The contract of what stands behind the room `@me`: each user's own durable stream of
// notifications. A session asks here, and is told through its own `on_inbox_…` calls.

#include <fanfare/base/error.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/room/message.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::room {
struct HistoryQuery;
struct HistoryResult;
} // namespace fanfare::room

namespace fanfare::session {

/// The inbox's name on the wire.
inline constexpr std::string_view inbox_room = "@me";

struct InboxJoined {
    Code code = Code::ok;
    const char* detail = nullptr; // static text where code is an error
    Position position;            // the newest
    std::uint64_t after = 0;      // what is shown begins behind it
    std::optional<bool> recovered;
    std::uint64_t acked = 0; // the user's position
};

/// A piece of what was missed.
struct InboxPage {
    Code code = Code::ok;
    std::vector<room::MessageRef> messages;
    bool caught_up = false; // what comes later comes live
};

/// One place of one session in its user's inbox. The session keeps it; others name it.
struct InboxPlace {
    net::Handle session = 0;
    std::uint32_t visit = 0; // of a session that has been here before: late answers find no one
    std::string user;
    std::string session_id; // public
};

/// One per reactor; all calls on it. The answers come on it too, never before the call returns.
class Inboxes {
  public:
    virtual ~Inboxes() = default;

    /// Session::on_inbox_joined follows, then on_inbox_page if it was ok.
    virtual void subscribe(const InboxPlace& place, const std::optional<Position>& since,
                           std::uint32_t last, std::size_t bytes_max) = 0;
    /// Asks for more, only after a page that had not caught up; on_inbox_page follows.
    virtual void pull(const InboxPlace& place, std::size_t bytes_max) = 0;
    /// In any state; nothing is called for this visit any more.
    virtual void unsubscribe(const InboxPlace& place) = 0;
    /// Everything up to `offset` is acknowledged. `done` gets the position, or an error.
    virtual void acknowledge(const InboxPlace& place, std::uint64_t offset,
                             const std::string& device,
                             std::function<void(const Error&, std::uint64_t)> done) = 0;
    virtual void history(const std::string& user, const room::HistoryQuery& query,
                         std::function<void(const room::HistoryResult&)> done) = 0;
};

} // namespace fanfare::session
