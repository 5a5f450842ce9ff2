#include "publish_body.hpp"

#include "body_members.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace fanfare::api {
namespace {

namespace ondemand = simdjson::ondemand;

// check_json has passed the text: what simdjson refuses now is memory, or a bug of ours.
Error unreadable() {
    return {Code::internal, "the body could not be read", {}};
}

enum class Member : std::uint8_t { room, rooms, data, event, id, ephemeral };
constexpr std::array<std::string_view, 6> names{"room",  "rooms", "data",
                                                "event", "id",    "ephemeral"};

using Members = BodyMembers<Member, names>;

/// Reads the members that were found.
class Reader {
  public:
    Reader(std::string_view text, std::size_t rooms_max, std::string& unescaped, PublishBody& body)
        : text_(text), rooms_max_(rooms_max), unescaped_(unescaped), body_(body) {}

    Error read(Member member, std::string_view value) {
        switch (member) {
        case Member::room:
            return read_text(value, "room", room::room_name_fault, body_.rooms.emplace_back());
        case Member::rooms:
            body_.many = true;
            return read_rooms(value);
        case Member::data:
            body_.data = value;
            return {};
        case Member::event:
            return read_text(value, "event", room::event_name_fault, body_.event);
        case Member::id:
            return read_text(value, "id", room::id_fault, body_.id);
        case Member::ephemeral:
            if (value != "true" && value != "false")
                return wrong_member("ephemeral", "must be true or false");
            body_.ephemeral = value == "true";
            return {};
        }
        return {};
    }

  private:
    Error read_text(std::string_view value, const char* name, TextFault fault_of,
                    std::string_view& to) {
        if (value.front() != '"') return wrong_member(name, "must be a string");
        to = value.substr(1, value.size() - 2);
        if (to.find('\\') != std::string_view::npos) to = unescape(to);
        if (const char* const fault = fault_of(to)) return wrong_member(name, fault);
        return {};
    }

    std::string_view unescape(std::string_view inside) {
        // All of them together are shorter than the text: what is shown does not move.
        unescaped_.reserve(text_.size());
        const std::size_t at = unescaped_.size();
        append_unescaped(unescaped_, inside);
        return std::string_view{unescaped_}.substr(at);
    }

    Error read_rooms(std::string_view value) {
        if (value.front() != '[') return wrong_member("rooms", "must be an array of strings");
        if (Error error = each_element(value, [&](std::string_view element) -> Error {
                if (body_.rooms.size() == rooms_max_)
                    return {Code::too_large,
                            "`rooms` has more than " + std::to_string(rooms_max_) + " rooms",
                            "rooms"};
                return read_text(element, "rooms", room::room_name_fault,
                                 body_.rooms.emplace_back());
            }))
            return error;
        if (body_.rooms.empty()) return wrong_member("rooms", "must not be empty");
        return {};
    }

    std::string_view text_;
    std::size_t rooms_max_;
    std::string& unescaped_;
    PublishBody& body_;
};

} // namespace

struct PublishParser::Scratch {
    simdjson::ondemand::parser splitter;
    std::string unescaped;
};

PublishParser::PublishParser() : scratch_(std::make_unique<Scratch>()) {}
PublishParser::~PublishParser() = default;

Error PublishParser::parse(std::string_view text, std::size_t rooms_max, PublishBody& body) {
    Members members;
    if (Error error = members.take(text)) return error;
    body.rooms.clear();
    body.many = body.ephemeral = false;
    body.data = body.event = body.id = {};
    scratch_->unescaped.clear();
    Reader reader{text, rooms_max, scratch_->unescaped, body};
    if (Error error = members.each(
            [&](Member member, std::string_view value) { return reader.read(member, value); }))
        return error;
    if (members.has(Member::room) && members.has(Member::rooms))
        return wrong_member("rooms", "and `room` exclude each other");
    if (body.rooms.empty()) return wrong_member("room", "is missing");
    if (!members.has(Member::data)) return wrong_member("data", "is missing");
    return {};
}

std::variant<Error, std::vector<std::string_view>>
PublishParser::split(std::string_view padded_text, std::size_t items_max) {
    if (const JsonFault fault = check_json(padded_text)) return wrong_json(fault);
    ondemand::document document;
    ondemand::array array;
    if (scratch_->splitter
            .iterate(padded_text.data(), padded_text.size(),
                     padded_text.size() + simdjson::SIMDJSON_PADDING)
            .get(document) != simdjson::SUCCESS)
        return unreadable();
    if (document.get_array().get(array) != simdjson::SUCCESS)
        return Error{Code::bad_request, "the body must be a JSON array", {}};
    std::vector<std::string_view> items;
    for (auto element : array) {
        std::string_view item;
        if (items.size() == items_max)
            return Error{Code::too_large,
                         "the batch has more than " + std::to_string(items_max) + " items",
                         {}};
        if (simdjson::to_json_string(element).get(item) != simdjson::SUCCESS) return unreadable();
        items.push_back(item);
    }
    return items;
}

} // namespace fanfare::api
