#include "apns_payload.hpp"

#include <fanfare/base/json_writer.hpp>

#include <array>

namespace fanfare::providers {
namespace {

using delivery::PushContent;

constexpr std::array<std::string_view, 3> type_names{"alert", "background", "voip"};
constexpr std::size_t payload_max = 4'096;
constexpr std::size_t voip_payload_max = 5'120;
constexpr std::size_t frame_max = 512; // more than all that is not a text or `data`

bool has_alert(const PushContent& content) noexcept {
    return !content.title.empty() || !content.body.empty();
}

void write_alert(JsonWriter& json, const PushContent& content) {
    json.key("alert").begin_object();
    if (!content.title.empty()) json.field("title", content.title);
    if (!content.body.empty()) json.field("body", content.body);
    json.end_object();
}

void write_shown(JsonWriter& json, const PushContent& content) {
    const bool alert = has_alert(content);
    if (alert) write_alert(json, content);
    if (content.badge) json.field("badge", std::uint64_t{*content.badge});
    if (!content.sound.empty())
        json.field("sound", content.sound);
    else if (alert)
        json.field("sound", "default");
    if (!content.category.empty())
        json.field("category", content.category).field("thread-id", content.category);
    // Both flags are numbers: `true` is not understood.
    if (alert && !content.data.empty()) json.field("mutable-content", std::uint64_t{1});
}

} // namespace

std::string_view apns_push_type_name(ApnsPushType type) noexcept {
    return type_names[static_cast<std::size_t>(type)];
}

ApnsPushType apns_push_type(const PushContent& content, std::string_view topic) noexcept {
    if (topic.ends_with(".voip")) return ApnsPushType::voip;
    const bool shows = has_alert(content) || content.badge || !content.sound.empty();
    return content.silent || !shows ? ApnsPushType::background : ApnsPushType::alert;
}

std::size_t apns_payload_max(ApnsPushType type) noexcept {
    return type == ApnsPushType::voip ? voip_payload_max : payload_max;
}

std::string apns_payload(const PushContent& content, const delivery::NotificationId& id,
                         ApnsPushType type) {
    std::string out;
    out.reserve(content.title.size() + content.body.size() + content.data.size() + 256);
    JsonWriter json{out};
    json.begin_object().key("aps").begin_object();
    if (type == ApnsPushType::background)
        json.field("content-available", std::uint64_t{1});
    else if (!content.silent)
        write_shown(json, content);
    json.end_object().field("id", id.text());
    if (!content.data.empty()) json.key("data").raw(content.data);
    json.end_object();
    return out;
}

std::string ApnsPayloads::make(const PushContent& content, const delivery::NotificationId& id,
                               ApnsPushType type) {
    const std::string name = id.text();
    if (!before_.is(content) || type != type_) {
        type_ = type;
        text_ = apns_payload(content, id, type);
        // What comes before it is ours, but for texts, in which a quote is escaped.
        id_at_ = text_.find("},\"id\":\"" + name) + 8;
        return text_;
    }
    return text_.replace(id_at_, name.size(), name);
}

Error check_apns(const PushContent& content, std::string_view topic) {
    const ApnsPushType type = apns_push_type(content, topic);
    // No text becomes longer than six times itself: what is small need not be built to be known so.
    const std::size_t texts = content.title.size() + content.body.size() + content.sound.size() +
                              2 * content.category.size();
    if (6 * texts + content.data.size() + frame_max <= apns_payload_max(type)) return {};
    const std::size_t size = apns_payload(content, delivery::NotificationId{}, type).size();
    const std::size_t limit = apns_payload_max(type);
    if (size <= limit) return {};
    return {Code::too_large,
            "the notification is " + std::to_string(size) + " bytes for APNs, which takes " +
                std::to_string(limit),
            {}};
}

} // namespace fanfare::providers
