#pragma once
// Every reply and push of docs/protocol.md §2 as JSON, appended to a string: compact, members in
// the order of that page's examples. No I/O.
//
// A push has two shapes: a WebSocket names it in `op`, an SSE stream in its `event:` line.

#include <fanfare/base/error.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/room/encoder.hpp>
#include <fanfare/room/message.hpp>
#include <fanfare/session/client_protocol.hpp>
#include <fanfare/session/json_answers.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::protocols {

using session::RequestId;

enum class Shape : std::uint8_t {
    with_op, // {"op":"reset","room":…}
    bare,    // {"room":…}
};

struct Welcome {
    std::string_view session;
    std::string_view user; // empty: anonymous, written as null
    std::string_view node;
    std::chrono::milliseconds heartbeat{0};
    std::optional<std::int64_t> expires; // Unix seconds; with a token
};
void write_welcome(std::string& out, const Welcome& welcome);

// Replies. `id` is left out where it is none; whether an ok without id is sent at all is the
// caller's business.
void write_error(std::string& out, RequestId id, const Error& error);
void write_pong(std::string& out, RequestId id);
void write_auth_ok(std::string& out, RequestId id, std::string_view user, std::int64_t expires);
void write_subscribe_ok(std::string& out, RequestId id, const session::SubscribeOk& ok);
void write_pattern_ok(std::string& out, RequestId id, std::string_view pattern);
void write_unsubscribe_ok(std::string& out, RequestId id, std::string_view room, bool is_pattern);
/// An ephemeral message (offset 0) has neither `epoch` nor `offset`.
void write_publish_ok(std::string& out, RequestId id, const session::PublishOk& ok);
void write_ack_ok(std::string& out, RequestId id, std::string_view room, std::uint64_t offset);
void write_history_ok(std::string& out, RequestId id, const session::HistoryOk& ok);
void write_presence_ok(std::string& out, RequestId id, const session::PresenceOk& ok);

// Pushes.
void write_message(std::string& out, Shape shape, const room::Message& message);
void write_presence_change(std::string& out, Shape shape, const room::PresenceChange& change);
void write_subscribed(std::string& out, Shape shape, std::string_view room,
                      const Position& position);
void write_unsubscribed(std::string& out, Shape shape, std::string_view room, const Error& why);
void write_reset(std::string& out, Shape shape, std::string_view room, const Position& position);
void write_acked(std::string& out, Shape shape, std::string_view room, std::uint64_t offset);
/// `reconnect_in` in milliseconds.
void write_bye(std::string& out, Shape shape, std::string_view code, std::string_view message,
               std::uint64_t reconnect_in);

// A message's members around its `data`, so that an encoder copies the payload only once:
// head  "room":"news","offset":18,"data":     tail  ,"event":"…","id":"…","from":"…"
void append_message_head(std::string& out, const room::Message& message);
using session::append_message_tail;

/// "join" or "leave".
[[nodiscard]] std::string_view presence_event(const room::PresenceChange& change) noexcept;

} // namespace fanfare::protocols
