#include "publish_body.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <simdjson.h>

#include <array>
#include <string>

namespace fanfare::api {
namespace {

namespace ondemand = simdjson::ondemand;

Error wrong(std::string field, std::string_view what) {
    std::string message = "`" + field + "` ";
    message += what;
    return {Code::bad_request, std::move(message), std::move(field)};
}

Error at_byte(const JsonFault& fault) {
    return {Code::bad_request, "byte " + std::to_string(fault.at) + ": " + fault.what, {}};
}

// check_json has passed the text: what simdjson refuses now is memory, or a bug of ours.
Error unreadable() {
    return {Code::internal, "the body could not be read", {}};
}

using Fault = const char* (*)(std::string_view) noexcept;

/// Reads a text member. The error is empty if it is fine.
Error read_text(ondemand::value value, const char* name, Fault fault_of, std::string_view& to) {
    if (value.get_string().get(to) != simdjson::SUCCESS) return wrong(name, "must be a string");
    if (const char* const fault = fault_of(to)) return wrong(name, fault);
    return {};
}

Error read_rooms(ondemand::value value, std::size_t rooms_max,
                 std::vector<std::string_view>& rooms) {
    ondemand::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS)
        return wrong("rooms", "must be an array of strings");
    for (auto element : array) {
        ondemand::value room;
        std::string_view name;
        if (element.get(room) != simdjson::SUCCESS) return unreadable();
        if (rooms.size() == rooms_max)
            return {Code::too_large,
                    "`rooms` has more than " + std::to_string(rooms_max) + " rooms", "rooms"};
        if (Error error = read_text(room, "rooms", room::room_name_fault, name)) return error;
        rooms.push_back(name);
    }
    if (rooms.empty()) return wrong("rooms", "must not be empty");
    return {};
}

enum Seen : unsigned {
    room_seen = 1,
    rooms_seen = 2,
    data_seen = 4,
    event_seen = 8,
    id_seen = 16,
    ephemeral_seen = 32
};

struct Name {
    std::string_view text;
    Seen bit;
};
constexpr std::array<Name, 6> names{{{"room", room_seen},
                                     {"rooms", rooms_seen},
                                     {"data", data_seen},
                                     {"event", event_seen},
                                     {"id", id_seen},
                                     {"ephemeral", ephemeral_seen}}};

Error read_member(Seen member, ondemand::value value, std::size_t rooms_max, PublishBody& body) {
    switch (member) {
    case room_seen:
        body.rooms.emplace_back();
        return read_text(value, "room", room::room_name_fault, body.rooms.back());
    case rooms_seen:
        body.many = true;
        return read_rooms(value, rooms_max, body.rooms);
    case data_seen:
        if (simdjson::to_json_string(value).get(body.data) != simdjson::SUCCESS)
            return unreadable();
        // A scalar's token reaches up to the next one: the value ends before the white space.
        body.data = body.data.substr(0, body.data.find_last_not_of(" \t\r\n") + 1);
        return {};
    case event_seen:
        return read_text(value, "event", room::event_name_fault, body.event);
    case id_seen:
        return read_text(value, "id", room::id_fault, body.id);
    case ephemeral_seen:
        if (value.get_bool().get(body.ephemeral) != simdjson::SUCCESS)
            return wrong("ephemeral", "must be true or false");
        return {};
    }
    return {};
}

} // namespace

struct PublishParser::Scratch {
    ondemand::parser parser;
    ondemand::parser splitter;
};

PublishParser::PublishParser() : scratch_(std::make_unique<Scratch>()) {}
PublishParser::~PublishParser() = default;

std::variant<Error, PublishBody> PublishParser::parse(std::string_view padded_text,
                                                      std::size_t rooms_max) {
    if (const JsonFault fault = check_json(padded_text)) return at_byte(fault);
    ondemand::document document;
    ondemand::object object;
    if (scratch_->parser
            .iterate(padded_text.data(), padded_text.size(),
                     padded_text.size() + simdjson::SIMDJSON_PADDING)
            .get(document) != simdjson::SUCCESS)
        return unreadable();
    if (document.get_object().get(object) != simdjson::SUCCESS)
        return Error{Code::bad_request, "the body must be a JSON object", {}};
    PublishBody body;
    unsigned seen = 0;
    for (auto item : object) {
        ondemand::field field;
        std::string_view key;
        if (std::move(item).get(field) != simdjson::SUCCESS ||
            field.unescaped_key().get(key) != simdjson::SUCCESS)
            return unreadable();
        for (const Name& name : names) {
            if (name.text != key) continue;
            if ((seen & name.bit) != 0) return wrong(std::string{key}, "is there twice");
            seen |= name.bit;
            if (Error error = read_member(name.bit, field.value(), rooms_max, body)) return error;
            break;
        }
    }
    if ((seen & room_seen) != 0 && (seen & rooms_seen) != 0)
        return wrong("rooms", "and `room` exclude each other");
    if ((seen & (room_seen | rooms_seen)) == 0) return wrong("room", "is missing");
    if ((seen & data_seen) == 0) return wrong("data", "is missing");
    return body;
}

std::variant<Error, std::vector<std::string_view>>
PublishParser::split(std::string_view padded_text, std::size_t items_max) {
    if (const JsonFault fault = check_json(padded_text)) return at_byte(fault);
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
