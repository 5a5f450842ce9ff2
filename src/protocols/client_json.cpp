// Two steps. First one walk over the object notes each known member's type and value, whatever the
// order they come in (`op` may be last) and whatever the request; so duplicates and the id are
// found even if something else is wrong. Then the request's own function asks for the members it
// knows, and the first wrong one is the answer.

#include "client_json.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace fanfare::protocols {
namespace {

namespace ondemand = simdjson::ondemand;

enum class Member : std::uint8_t {
    id,
    op,
    token,
    room,
    pattern,
    since,
    since_epoch,
    since_offset,
    last,
    device,
    data,
    event,
    ephemeral,
    key,
    offset,
    limit,
    reverse,
    count
};
constexpr std::size_t member_count = static_cast<std::size_t>(Member::count);
constexpr std::array<std::string_view, member_count> member_names{
    "id",          "op",           "token",  "room",   "pattern", "since",
    "since.epoch", "since.offset", "last",   "device", "data",    "event",
    "ephemeral",   "key",          "offset", "limit",  "reverse"};

constexpr std::string_view name_of(Member member) {
    return member_names[static_cast<std::size_t>(member)];
}

Member find_member(std::string_view name) noexcept {
    for (std::size_t i = 0; i < member_count; ++i)
        if (member_names[i] == name && static_cast<Member>(i) != Member::since_epoch &&
            static_cast<Member>(i) != Member::since_offset)
            return static_cast<Member>(i);
    return Member::count;
}
Member find_since_member(std::string_view name) noexcept {
    if (name == "epoch") return Member::since_epoch;
    return name == "offset" ? Member::since_offset : Member::count;
}

/// A member as it was found.
struct Value {
    enum class Kind : std::uint8_t { absent, object, array, string, number, boolean, null };
    Kind kind = Kind::absent;
    std::string_view text; // a string unescaped; anything else (and all of `data`) as it came
};

template <class Integer>
std::optional<Integer> to_integer(std::string_view text) noexcept {
    Integer value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, fault] = std::from_chars(text.data(), end, value);
    // What stops early has a fraction or an exponent: 1e2 is an integer to mathematicians only.
    if (fault != std::errc{} || stop != end) return std::nullopt;
    return value;
}

/// The members of one request, and the first thing that is wrong with them.
class Members {
  public:
    /// False: simdjson failed on a text that passed check_json, which means no memory, or a bug.
    [[nodiscard]] bool read(ondemand::document& document) {
        ondemand::object object;
        if (document.get_object().get(object) != simdjson::SUCCESS) return false;
        return walk(object, find_member);
    }

    [[nodiscard]] bool has(Member member) const noexcept {
        return at(member).kind != Value::Kind::absent;
    }

    // All of these return something harmless after noting a fault.

    std::string_view text(Member member) {
        return required(member, Value::Kind::string, "must be a string");
    }
    std::string_view optional_text(Member member) {
        return has(member) ? text(member) : std::string_view{};
    }
    using FaultOf = const char* (*)(std::string_view) noexcept;
    std::string_view checked(Member member, FaultOf fault_of) {
        const std::string_view value = text(member);
        if (!error_)
            if (const char* const fault = fault_of(value)) fail(member, fault);
        return value;
    }
    std::string_view optional_checked(Member member, FaultOf fault_of) {
        return has(member) ? checked(member, fault_of) : std::string_view{};
    }
    std::string_view room() { return checked(Member::room, room::room_name_fault); }

    /// The bytes of any value.
    std::string_view json(Member member) {
        if (!has(member)) fail(member, "is missing");
        return at(member).text;
    }

    std::uint64_t count(Member member) {
        constexpr const char* what = "must be an integer ≥ 0";
        const std::string_view value = required(member, Value::Kind::number, what);
        if (error_) return 0;
        const auto number = to_integer<std::uint64_t>(value);
        if (!number) fail(member, what);
        return number.value_or(0);
    }
    std::optional<std::uint64_t> optional_count(Member member) {
        if (!has(member)) return std::nullopt;
        return count(member);
    }

    bool flag(Member member) {
        if (!has(member)) return false;
        return required(member, Value::Kind::boolean, "must be true or false") == "true";
    }

    std::optional<Position> since() {
        if (!has(Member::since)) return std::nullopt;
        if (at(Member::since).kind != Value::Kind::object) {
            fail(Member::since, "must be an object with `epoch` and `offset`");
            return std::nullopt;
        }
        // An epoch that cannot be one of ours is no fault: it is one that is not recovered.
        const std::string_view epoch = text(Member::since_epoch);
        const std::uint64_t offset = count(Member::since_offset);
        return Position{Epoch::parse(epoch), offset};
    }

    /// Notes that `member` is wrong; the first fault counts.
    void fail(Member member, std::string_view what) {
        if (error_) return;
        error_.code = Code::bad_request;
        error_.field = name_of(member);
        error_.message.append("`").append(error_.field).append("` ").append(what);
    }
    [[nodiscard]] const Error& error() const noexcept { return error_; }

    /// Nothing if it is absent, not an integer, or there are two.
    session::RequestId id() {
        if (!has(Member::id)) return std::nullopt;
        const Value& value = at(Member::id);
        std::optional<std::int64_t> number;
        if (value.kind == Value::Kind::number) number = to_integer<std::int64_t>(value.text);
        if (!number) fail(Member::id, "must be an integer of 64 bits");
        return id_twice_ ? std::nullopt : number;
    }

  private:
    [[nodiscard]] Value& at(Member member) noexcept {
        return values_[static_cast<std::size_t>(member)];
    }
    [[nodiscard]] const Value& at(Member member) const noexcept {
        return values_[static_cast<std::size_t>(member)];
    }

    std::string_view required(Member member, Value::Kind kind, const char* otherwise) {
        if (!has(member))
            fail(member, "is missing");
        else if (at(member).kind != kind)
            fail(member, otherwise);
        else
            return at(member).text;
        return {};
    }

    [[nodiscard]] bool walk(ondemand::object& object, Member (*find)(std::string_view) noexcept) {
        for (auto item : object) {
            ondemand::field field;
            std::string_view name;
            if (std::move(item).get(field) != simdjson::SUCCESS) return false;
            if (field.unescaped_key().get(name) != simdjson::SUCCESS) return false;
            const Member member = find(name);
            if (member == Member::count) continue;
            if (has(member)) {
                fail(member, "is there twice");
                id_twice_ = id_twice_ || member == Member::id;
                continue;
            }
            if (!note(member, field.value())) return false;
        }
        return true;
    }

    [[nodiscard]] bool note(Member member, ondemand::value value) {
        Value& to = at(member);
        ondemand::json_type type{};
        if (value.type().get(type) != simdjson::SUCCESS) return false;
        to.kind = kind_of(type);
        if (to.kind == Value::Kind::string && member != Member::data)
            return value.get_string().get(to.text) == simdjson::SUCCESS;
        if (to.kind == Value::Kind::object && member == Member::since) {
            ondemand::object object;
            if (value.get_object().get(object) != simdjson::SUCCESS) return false;
            return walk(object, find_since_member);
        }
        return simdjson::to_json_string(value).get(to.text) == simdjson::SUCCESS;
    }

    static Value::Kind kind_of(ondemand::json_type type) noexcept {
        switch (type) {
        case ondemand::json_type::object:
            return Value::Kind::object;
        case ondemand::json_type::array:
            return Value::Kind::array;
        case ondemand::json_type::string:
            return Value::Kind::string;
        case ondemand::json_type::number:
            return Value::Kind::number;
        case ondemand::json_type::boolean:
            return Value::Kind::boolean;
        case ondemand::json_type::null:
            break;
        }
        return Value::Kind::null;
    }

    std::array<Value, member_count> values_{};
    Error error_;
    bool id_twice_ = false;
};

Request auth_request(Members& members) {
    return AuthRequest{members.text(Member::token)};
}

Request subscribe_request(Members& members) {
    if (members.has(Member::pattern)) {
        if (members.has(Member::room))
            members.fail(Member::pattern, "and `room` exclude each other");
        for (const Member member : {Member::since, Member::last, Member::device})
            if (members.has(member))
                members.fail(member, "needs a `room`: a pattern has no history");
        return SubscribePatternRequest{members.checked(Member::pattern, room::pattern_fault)};
    }
    SubscribeRequest request;
    request.room = members.room();
    request.since = members.since();
    // No history is longer than 32 bits count, so more than that is as good as all of it.
    constexpr std::uint64_t last_max = std::numeric_limits<std::uint32_t>::max();
    request.last = static_cast<std::uint32_t>(
        std::min(members.optional_count(Member::last).value_or(0), last_max));
    if (request.since && members.has(Member::last))
        members.fail(Member::last, "and `since` exclude each other");
    request.device = members.optional_checked(Member::device, room::id_fault);
    return request;
}

Request unsubscribe_request(Members& members) {
    if (!members.has(Member::pattern)) return UnsubscribeRequest{members.room(), false};
    if (members.has(Member::room)) members.fail(Member::pattern, "and `room` exclude each other");
    return UnsubscribeRequest{members.checked(Member::pattern, room::pattern_fault), true};
}

Request publish_request(Members& members) {
    PublishRequest request;
    request.room = members.room();
    request.data = members.json(Member::data);
    request.event = members.optional_checked(Member::event, room::event_name_fault);
    request.ephemeral = members.flag(Member::ephemeral);
    request.key = members.optional_checked(Member::key, room::id_fault);
    return request;
}

Request ack_request(Members& members) {
    const std::string_view room = members.room();
    return AckRequest{room, members.count(Member::offset)};
}

Request history_request(Members& members) {
    HistoryRequest request;
    request.room = members.room();
    request.since = members.since();
    request.limit = members.optional_count(Member::limit);
    request.reverse = members.flag(Member::reverse);
    return request;
}

Request presence_request(Members& members) {
    return PresenceRequest{members.room()};
}

Request ping_request(Members& /*members*/) {
    return PingRequest{};
}

struct Op {
    std::string_view name;
    Request (*request)(Members&);
};
constexpr std::array<Op, 8> ops{{{"publish", publish_request},
                                 {"subscribe", subscribe_request},
                                 {"unsubscribe", unsubscribe_request},
                                 {"ack", ack_request},
                                 {"history", history_request},
                                 {"presence", presence_request},
                                 {"ping", ping_request},
                                 {"auth", auth_request}}};

Request build(Members& members) {
    const std::string_view name = members.text(Member::op);
    if (members.error()) return members.error();
    for (const Op& op : ops) {
        if (op.name != name) continue;
        Request request = op.request(members);
        if (members.error()) return members.error();
        return request;
    }
    return Error{Code::unknown_op, "`op` names no request", "op"};
}

} // namespace

struct RequestParser::Scratch {
    ondemand::parser parser;
};

RequestParser::RequestParser() : scratch_(std::make_unique<Scratch>()) {}
RequestParser::~RequestParser() = default;

ParsedRequest RequestParser::parse(std::string_view padded_text) {
    ParsedRequest parsed;
    const std::size_t first = padded_text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos || padded_text[first] != '{') {
        parsed.not_an_object = true;
        parsed.request = Error{Code::bad_request, "the text is not a JSON object", {}};
        return parsed;
    }
    if (const JsonFault fault = check_json(padded_text)) {
        parsed.request =
            Error{Code::bad_request, "byte " + std::to_string(fault.at) + ": " + fault.what, {}};
        return parsed;
    }
    ondemand::document document;
    Members members;
    const auto fault = scratch_->parser
                           .iterate(padded_text.data(), padded_text.size(),
                                    padded_text.size() + simdjson::SIMDJSON_PADDING)
                           .get(document);
    if (fault != simdjson::SUCCESS || !members.read(document)) {
        parsed.request = Error{Code::internal, "the request could not be read", {}};
        return parsed;
    }
    parsed.id = members.id();
    parsed.request = build(members);
    return parsed;
}

} // namespace fanfare::protocols
