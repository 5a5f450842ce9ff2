#include "webpush_request.hpp"

#include "push_deadline.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>

#include <algorithm>

namespace fanfare::providers {
namespace {

using delivery::Priority;
using delivery::PushContent;

constexpr std::chrono::seconds ttl_max = std::chrono::hours{24 * 28};
constexpr std::size_t topic_max = 32;
constexpr std::size_t frame_max = 256; // more than all that is not a text or `data`

std::string_view urgency_of(Priority priority) {
    switch (priority) {
    case Priority::critical:
    case Priority::high:
        return "high";
    case Priority::normal:
        return "normal";
    case Priority::low:
        break;
    }
    return "low";
}

bool is_topic(std::string_view text) {
    return text.size() <= topic_max && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
           });
}

std::string topic_of(std::string_view collapse_key) {
    if (is_topic(collapse_key)) return std::string{collapse_key};
    return to_base64url(as_byte_view(sha256(collapse_key))).substr(0, topic_max);
}

} // namespace

std::string webpush_payload(const delivery::NotificationId& id, const PushContent& content) {
    std::string out;
    out.reserve(content.title.size() + content.body.size() + content.data.size() + 160);
    JsonWriter json{out};
    json.begin_object().field("id", id.text());
    if (!content.title.empty()) json.field("title", content.title);
    if (!content.body.empty()) json.field("body", content.body);
    if (!content.data.empty()) json.key("data").raw(content.data);
    if (!content.category.empty()) json.field("category", content.category);
    if (!content.sound.empty()) json.field("sound", content.sound);
    if (content.badge) json.field("badge", std::uint64_t{*content.badge});
    if (content.silent) json.field_bool("silent", true);
    json.end_object();
    return out;
}

Error check_webpush(const PushContent& content) {
    // No text becomes longer than six times itself: what is small need not be built to be known so.
    const std::size_t texts = content.title.size() + content.body.size() + content.category.size() +
                              content.collapse_key.size() + content.sound.size();
    if (6 * texts + content.data.size() + frame_max <= webpush_plaintext_max) return {};
    const std::size_t size = webpush_payload(delivery::NotificationId{}, content).size();
    if (size <= webpush_plaintext_max) return {};
    return {Code::too_large,
            "the notification is " + std::to_string(size) + " bytes for Web Push, which takes " +
                std::to_string(webpush_plaintext_max),
            {}};
}

Result<PushRequest> webpush_request(WebPushEncryptor& encryptor, const WebPushEndpoint& endpoint,
                                    std::string_view authorization,
                                    const delivery::NotificationId& id, const PushContent& content,
                                    const delivery::PushDevice& device, WallMillis now) {
    PushRequest request;
    request.path = endpoint.path;
    auto& fields = request.fields;
    fields.reserve(6);
    const auto ttl = seconds_left(content.expires, now, ttl_max).value_or(ttl_max);
    fields.push_back({"authorization", std::string{authorization}, true});
    fields.push_back({"ttl", std::to_string(ttl.count()), true});
    fields.push_back({"urgency", std::string{urgency_of(content.priority)}});
    if (!content.collapse_key.empty())
        fields.push_back({"topic", topic_of(content.collapse_key), true});
    if (device.p256dh.empty()) return request;

    auto body = encryptor.encrypt(device.p256dh, device.auth, webpush_payload(id, content));
    if (!body) return body.error();
    request.body = std::move(*body);
    fields.push_back({"content-encoding", "aes128gcm"});
    fields.push_back({"content-type", "application/octet-stream"});
    return request;
}

} // namespace fanfare::providers
