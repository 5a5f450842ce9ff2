#include "push_content.hpp"

#include <fanfare/base/json_check.hpp>

#include <charconv>
#include <system_error>

namespace fanfare::delivery {
namespace {

class Members final : public JsonMembers {
  public:
    void on_member(std::string_view name, std::string_view value) noexcept override {
        if (name == "title") title = value;
        if (name == "body") body = value;
        if (name == "data") data = value;
    }
    std::string_view title;
    std::string_view body;
    std::string_view data;
};

class Options final : public JsonMembers {
  public:
    void on_member(std::string_view name, std::string_view value) noexcept override {
        if (name == "badge") badge = value;
        if (name == "sound") sound = value;
        if (name == "silent") silent = value == "true";
    }
    std::string_view badge;
    std::string_view sound;
    bool silent = false;
};

/// Empty unless it is a string.
std::string text_of(std::string_view value) {
    std::string text;
    if (value.size() >= 2 && value.front() == '"')
        append_unescaped(text, value.substr(1, value.size() - 2));
    return text;
}

} // namespace

void PushText::read() {
    title_.clear();
    body_.clear();
    data_ = {};
    sound_.clear();
    badge_.reset();
    silent_ = false;
    Members members;
    if (check_json(json_, members)) return; // ours, so it never is
    title_ = text_of(members.title);
    body_ = text_of(members.body);
    data_ = members.data;
    Options options;
    if (options_.empty() || check_json(options_, options)) return;
    sound_ = text_of(options.sound);
    silent_ = options.silent;
    const std::string_view badge = options.badge;
    std::uint32_t number = 0;
    const auto [end, fault] = std::from_chars(badge.data(), badge.data() + badge.size(), number);
    if (!badge.empty() && fault == std::errc{} && end == badge.data() + badge.size())
        badge_ = number;
}

PushContent PushText::content_of(const Notification& notification) {
    if (json_ != notification.data || options_ != notification.push_options) {
        json_ = notification.data;
        options_ = notification.push_options;
        read();
    }
    PushContent content;
    content.title = title_;
    content.body = body_;
    content.data = data_;
    content.category = notification.category;
    content.collapse_key = notification.collapse_key;
    content.sound = sound_;
    content.badge = badge_;
    content.silent =
        silent_ || (title_.empty() && body_.empty() && sound_.empty() && !badge_.has_value());
    content.priority = notification.priority;
    content.expires = notification.expires;
    return content;
}

} // namespace fanfare::delivery
