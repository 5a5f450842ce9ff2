#include "publish_body.hpp"

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

enum class Member : std::uint8_t { room, rooms, data, event, id, ephemeral, none };
constexpr std::size_t members_known = static_cast<std::size_t>(Member::none);
constexpr std::array<std::string_view, members_known> names{"room",  "rooms", "data",
                                                            "event", "id",    "ephemeral"};

Member member_of(std::string_view name) noexcept {
    const auto at = std::find(names.begin(), names.end(), name);
    return static_cast<Member>(at - names.begin());
}

/// Takes down the known members while the text is being checked: read they are once it has passed.
class Found final : public JsonMembers {
  public:
    struct Item {
        Member member;
        std::string_view value;
    };
    void on_member(std::string_view name, std::string_view value) noexcept override {
        if (repeated) return;
        const Member member =
            name.find('\\') == std::string_view::npos ? member_of(name) : escaped_member(name);
        if (member == Member::none) return;
        const unsigned bit = 1U << static_cast<unsigned>(member);
        repeated = (seen & bit) != 0;
        seen |= bit;
        items[count++] = {member, value};
    }
    [[nodiscard]] bool has(Member member) const noexcept {
        return (seen & (1U << static_cast<unsigned>(member))) != 0;
    }

    // In order; if `repeated`, the last one is there for the second time.
    std::array<Item, members_known + 1> items;
    std::size_t count = 0;
    bool repeated = false;

  private:
    /// Whoever escapes a name means it all the same.
    static Member escaped_member(std::string_view name) noexcept {
        constexpr std::size_t longest = 6 * names.back().size(); // each character as \uXXXX
        if (name.size() > longest) return Member::none;
        // The escapes were checked already: strings are, as they are passed.
        std::string plain;
        append_unescaped(plain, name);
        return member_of(plain);
    }
    unsigned seen = 0;
};

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
                return wrong("ephemeral", "must be true or false");
            body_.ephemeral = value == "true";
            return {};
        case Member::none:
            break;
        }
        return {};
    }

  private:
    using Fault = const char* (*)(std::string_view) noexcept;

    Error read_text(std::string_view value, const char* name, Fault fault_of,
                    std::string_view& to) {
        if (value.front() != '"') return wrong(name, "must be a string");
        to = value.substr(1, value.size() - 2);
        if (to.find('\\') != std::string_view::npos) to = unescape(to);
        if (const char* const fault = fault_of(to)) return wrong(name, fault);
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
        if (value.front() != '[') return wrong("rooms", "must be an array of strings");
        // The text has passed: what follows an element is a comma or the end of the array.
        constexpr std::string_view space = " \t\r\n";
        std::size_t at = value.find_first_not_of(space, 1);
        while (value[at] != ']') {
            if (body_.rooms.size() == rooms_max_)
                return {Code::too_large,
                        "`rooms` has more than " + std::to_string(rooms_max_) + " rooms", "rooms"};
            const std::size_t bytes = string_bytes(value.substr(at));
            if (Error error = read_text(value.substr(at, bytes), "rooms", room::room_name_fault,
                                        body_.rooms.emplace_back()))
                return error;
            at = value.find_first_not_of(space, at + bytes);
            if (value[at] == ',') at = value.find_first_not_of(space, at + 1);
        }
        if (body_.rooms.empty()) return wrong("rooms", "must not be empty");
        return {};
    }

    /// Of the string that `text` begins with, quotes included; of something else, 1.
    static std::size_t string_bytes(std::string_view text) noexcept {
        if (text.front() != '"') return 1;
        std::size_t at = 1;
        while (text[at] != '"') at += text[at] == '\\' ? 2U : 1U;
        return at + 1;
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
    Found found;
    if (const JsonFault fault = check_json(text, found)) return at_byte(fault);
    if (text[text.find_first_not_of(" \t\r\n")] != '{')
        return {Code::bad_request, "the body must be a JSON object", {}};
    body.rooms.clear();
    body.many = body.ephemeral = false;
    body.data = body.event = body.id = {};
    scratch_->unescaped.clear();
    Reader reader{text, rooms_max, scratch_->unescaped, body};
    for (std::size_t i = 0; i < found.count; ++i) {
        const auto& [member, value] = found.items[i];
        if (found.repeated && i + 1 == found.count)
            return wrong(std::string{names[static_cast<std::size_t>(member)]}, "is there twice");
        if (Error error = reader.read(member, value)) return error;
    }
    if (found.has(Member::room) && found.has(Member::rooms))
        return wrong("rooms", "and `room` exclude each other");
    if (body.rooms.empty()) return wrong("room", "is missing");
    if (!found.has(Member::data)) return wrong("data", "is missing");
    return {};
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
