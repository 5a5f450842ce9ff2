#pragma once
// What tests of requests and answers share.

#include "push_answer.hpp"
#include "push_request.hpp"

#include <fanfare/delivery/provider.hpp>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::delivery {
// So that a failed check says which.
inline std::ostream& operator<<(std::ostream& out, PushVerdict verdict) {
    constexpr const char* names[]{"done", "drop_device", "fix", "later", "pause", "stop"};
    return out << names[static_cast<std::size_t>(verdict)];
}
} // namespace fanfare::delivery

namespace fanfare::test {

inline constexpr WallMillis test_now = 1'767'225'600'000;

inline delivery::NotificationId test_id() {
    return delivery::NotificationId::from_raw("\x01\x23\x45\x67\x89\xab\xcd\xef"
                                              "\xfe\xdc\xba\x98\x76\x54\x32\x10");
}
inline const std::string test_id_text = "ASNFZ4mrze_-3LqYdlQyEA";

inline delivery::PushContent hello() {
    delivery::PushContent content;
    content.title = "Hello";
    content.body = "World";
    content.expires = test_now + 60'000;
    return content;
}

/// Each differs from the one before in one thing; some texts look like what stands around an id.
inline std::vector<delivery::PushContent> contents_in_turn() {
    std::vector<delivery::PushContent> all{hello(), hello()};
    const auto add = [&](auto change) {
        delivery::PushContent content = all.back();
        change(content);
        all.push_back(content);
    };
    add([](auto& content) { content.title = R"(},"id":"x)"; });
    add([](auto& content) { content.body = R"("data":{"id":")"; });
    add([](auto& content) { content.data = R"({"id":"},"id":"})"; });
    add([](auto& content) { content.category = R"(},"id":")"; });
    add([](auto& content) { content.badge = 0; });
    add([](auto& content) { content.badge = 1; });
    add([](auto& content) { content.sound = "ping"; });
    add([](auto& content) { content.collapse_key = "k"; });
    add([](auto& content) { content.priority = delivery::Priority::critical; });
    add([](auto& content) { content.expires = 0; });
    add([](auto& content) { content.silent = true; });
    return all;
}

/// The value of a field, or "(none)".
inline std::string field_of(const providers::PushRequest& request, std::string_view name) {
    std::string value = "(none)";
    for (const providers::RequestField& field : request.fields) {
        if (field.name != name) continue;
        if (value != "(none)") return "(twice)";
        value = field.value;
    }
    return value;
}
inline bool never_indexed(const providers::PushRequest& request, std::string_view name) {
    for (const providers::RequestField& field : request.fields)
        if (field.name == name) return field.never_index;
    return false;
}

/// An answer that owns what it shows.
struct Answer {
    int status = 0;
    std::string body;
    std::vector<providers::AnswerField> fields;
    [[nodiscard]] providers::PushAnswer view() const { return {status, fields, body}; }
};

} // namespace fanfare::test
