#include "fcm_message.hpp"

#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace sim {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::size_t payload_max = 4096;
constexpr std::size_t payload_max_of_topic = 2048;

/// The member of that name, or of the same name in camelCase. Names that appear twice: the last
/// wins.
bool find(const object& parent, std::string_view name, element& found) {
    std::string camel;
    bool upper = false;
    for (const char c : name) {
        if (c == '_') {
            upper = true;
            continue;
        }
        camel += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
        upper = false;
    }
    bool any = false;
    for (const auto& member : parent) {
        if (member.key != name && member.key != camel) continue;
        found = member.value;
        any = true;
    }
    return any;
}

bool is_label(std::string_view text, std::size_t size_max) {
    return !text.empty() && text.size() <= size_max &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                      std::string_view{"-_.~%"}.find(c) != std::string_view::npos;
           });
}

/// `86400s` or `3.5s`, from 0 to four weeks.
bool is_ttl(std::string_view text) {
    if (!text.ends_with('s')) return false;
    text.remove_suffix(1);
    const std::size_t dot = std::min(text.find('.'), text.size());
    const auto whole = to_number(text.substr(0, dot));
    const bool fraction = dot == text.size() || to_number(text.substr(dot + 1));
    return whole && fraction && *whole <= 2'419'200;
}

bool is_colour(std::string_view text) {
    return text.size() == 7 && text.front() == '#' && is_hex(text.substr(1));
}

class Reader {
  public:
    FcmMessage read(simdjson::dom::parser& parser, const std::string& body) {
        object root;
        element at;
        if (parser.parse(body).get(root) != SUCCESS)
            return fail("", "Invalid JSON payload received.");
        if (find(root, "validate_only", at) && at.get(message_.validate_only) != SUCCESS) {
            return fail("validate_only", "Invalid value (TYPE_BOOL).");
        }
        object message;
        if (!find(root, "message", at) || at.get(message) != SUCCESS) {
            return fail("message", "Message is empty.");
        }
        read_target(message);
        if (find(message, "data", at)) read_data(at);
        read_text_block(message, "notification");
        if (find(message, "android", at)) read_android(at);
        if (find(message, "apns", at)) read_strings(at, "headers", "message.apns.headers");
        if (find(message, "webpush", at)) read_strings(at, "headers", "message.webpush.headers");
        if (bytes_ > (message_.to_topic ? payload_max_of_topic : payload_max)) {
            return fail("message", "Message payload is too big.");
        }
        return message_;
    }

  private:
    FcmMessage fail(std::string field, std::string fault) {
        if (message_.fault.empty()) {
            message_.fault = std::move(fault);
            message_.field = std::move(field);
        }
        return message_;
    }

    void read_target(const object& message) {
        std::size_t targets = 0;
        for (const std::string_view kind : {"token", "fid", "topic", "condition"}) {
            element at;
            if (!find(message, kind, at)) continue;
            ++targets;
            if (at.get(message_.token) != SUCCESS || message_.token.empty()) {
                fail(fmt::format("message.{}", kind), "Invalid value (TYPE_STRING).");
            } else if (kind == "topic" && !is_label(message_.token, 900)) {
                fail("message.topic", "Malformed topic name.");
            }
            message_.to_topic = kind == "topic" || kind == "condition";
        }
        if (targets == 0) fail("message.token", "Recipient of the message is not set.");
        if (targets > 1)
            fail("message.token", "Only one of token, fid, topic, condition is allowed.");
    }

    void read_data(const element& data) {
        object members;
        if (data.get(members) != SUCCESS) return void(fail("message.data", "data is an object."));
        std::size_t index = 0;
        for (const auto& [key, value] : members) {
            std::string_view text;
            if (value.get(text) != SUCCESS) {
                fail(fmt::format("message.data[{}].value", index),
                     "Invalid value at 'message.data' (TYPE_STRING)");
            }
            if (key == "from" || key == "message_type" || key.starts_with("google.") ||
                key.starts_with("gcm.notification.")) {
                fail(fmt::format("message.data[{}].key", index),
                     fmt::format("Invalid data payload key: {}", key));
            }
            if (key == "id") message_.id = text;
            bytes_ += key.size() + text.size();
            ++index;
        }
    }

    void read_text_block(const object& message, std::string_view name) {
        element at;
        object block;
        if (!find(message, name, at)) return;
        if (at.get(block) != SUCCESS) {
            return void(fail(fmt::format("message.{}", name), "not an object"));
        }
        for (const auto& [key, value] : block) {
            std::string_view text;
            if (value.get(text) != SUCCESS) {
                fail(fmt::format("message.{}.{}", name, key), "Invalid value (TYPE_STRING).");
            }
            bytes_ += text.size();
        }
    }

    void read_android(const element& android) {
        object block;
        element at;
        std::string_view text;
        if (android.get(block) != SUCCESS) return void(fail("message.android", "not an object"));
        if (find(block, "ttl", at) && (at.get(text) != SUCCESS || !is_ttl(text))) {
            fail("message.android.ttl",
                 "Illegal Duration format; duration must end with 's', from 0 "
                 "to 2419200 seconds");
        }
        if (find(block, "priority", at) &&
            (at.get(text) != SUCCESS ||
             !(equal_without_case(text, "normal") || equal_without_case(text, "high")))) {
            fail("message.android.priority", "Invalid value (AndroidMessagePriority)");
        }
        object notification;
        if (find(block, "notification", at) && at.get(notification) == SUCCESS &&
            find(notification, "color", at) && (at.get(text) != SUCCESS || !is_colour(text))) {
            fail("message.android.notification.color", "The color is #RRGGBB.");
        }
    }

    /// The object `name` of a block holds texts only.
    void read_strings(const element& block, std::string_view name, std::string_view field) {
        object members;
        element at;
        object strings;
        if (block.get(members) != SUCCESS) return void(fail(std::string{field}, "not an object"));
        if (!find(members, name, at)) return;
        if (at.get(strings) != SUCCESS) return void(fail(std::string{field}, "not an object"));
        for (const auto& [key, value] : strings) {
            if (!value.is_string()) {
                fail(fmt::format("{}[{}]", field, key), "Invalid value (TYPE_STRING).");
            }
        }
    }

    FcmMessage message_;
    std::size_t bytes_ = 0;
};

} // namespace

FcmMessage read_fcm_message(simdjson::dom::parser& parser, const std::string& body) {
    return Reader{}.read(parser, body);
}

} // namespace sim
