#pragma once
// The client's requests (docs/protocol.md §2 "Client requests"): one text in, one value out.
//
// Strictness has one place each: the grammar is fanfare::check_json's, types and bounds are this
// codec's, rights and numbers that depend on the session (limit, rooms per session) are the
// session's. No I/O.

#include <fanfare/base/error.hpp>
#include <fanfare/session/client_protocol.hpp>
#include <fanfare/session/session.hpp>

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

namespace fanfare::protocols {

// Texts are unescaped and checked: rooms, patterns, events and keys with the fault functions of
// room/message.hpp. An empty view means "not given" where a member is optional.

using session::HistoryRequest;
using session::PublishRequest;
using session::SubscribeRequest; // at most one of `since` and `last`

struct AuthRequest {
    std::string_view token;
};
struct SubscribePatternRequest {
    std::string_view pattern;
};
struct UnsubscribeRequest {
    std::string_view room; // or the pattern
    bool is_pattern = false;
};
struct AckRequest {
    std::string_view room;
    std::uint64_t offset = 0;
};
struct PresenceRequest {
    std::string_view room;
};
struct PingRequest {};

/// What was asked, or why it is not understood (bad_request or unknown_op; `field` names the
/// member).
using Request =
    std::variant<Error, AuthRequest, SubscribeRequest, SubscribePatternRequest, UnsubscribeRequest,
                 PublishRequest, AckRequest, HistoryRequest, PresenceRequest, PingRequest>;

struct ParsedRequest {
    session::RequestId id;      // also beside an Error, if it could be read
    bool not_an_object = false; // close with 4400; `request` is an Error
    Request request;
};

/// Holds simdjson's scratch memory, which grows to the largest text seen: one per reactor.
class RequestParser {
  public:
    RequestParser();
    ~RequestParser();
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    /// `padded_text`: UTF-8; at least 64 readable bytes follow it. The views in the result show
    /// the text and this object's memory: valid until either changes or the next call.
    /// Members that the protocol does not know are skipped, known ones may occur once, and those
    /// of another request are not looked at. Never throws on account of the text.
    /// A text whose first character is not `{` is "not an object"; what is broken after a `{` is a
    /// bad_request that names the place.
    [[nodiscard]] ParsedRequest parse(std::string_view padded_text);

  private:
    struct Scratch;
    std::unique_ptr<Scratch> scratch_;
};

} // namespace fanfare::protocols
