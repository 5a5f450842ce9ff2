#include "fcm_request.hpp"

#include "push_deadline.hpp"

#include <fanfare/base/json_writer.hpp>

namespace fanfare::providers {
namespace {

using delivery::Priority;
using delivery::PushContent;

constexpr std::chrono::seconds ttl_max = std::chrono::hours{24 * 28};
constexpr std::size_t id_text_bytes = 22;

constexpr std::string_view id_name = "id";
constexpr std::string_view data_name = "data";
constexpr std::string_view category_name = "category";
static_assert(!is_reserved_by_fcm(id_name) && !is_reserved_by_fcm(data_name) &&
              !is_reserved_by_fcm(category_name));

bool has_notification(const PushContent& content) {
    return !content.silent && (!content.title.empty() || !content.body.empty());
}

bool is_urgent(const PushContent& content) {
    return !content.silent &&
           (content.priority == Priority::critical || content.priority == Priority::high);
}

void write_notification(JsonWriter& json, const PushContent& content) {
    json.key("notification").begin_object();
    if (!content.title.empty()) json.field("title", content.title);
    if (!content.body.empty()) json.field("body", content.body);
    json.end_object();
}

void write_data(JsonWriter& json, const delivery::NotificationId& id, const PushContent& content) {
    json.key("data").begin_object().field(id_name, id.text());
    if (!content.category.empty()) json.field(category_name, content.category);
    if (!content.data.empty()) json.field(data_name, content.data);
    json.end_object();
}

void write_android_notification(JsonWriter& json, const PushContent& content) {
    json.key("notification").begin_object();
    json.field("sound", content.sound.empty() ? std::string_view{"default"} : content.sound);
    if (content.badge) json.field("notification_count", std::uint64_t{*content.badge});
    if (!content.collapse_key.empty()) json.field("tag", content.collapse_key);
    json.end_object();
}

/// Empty: it has no end.
std::string ttl_of(const PushContent& content, WallMillis now) {
    const auto left = seconds_left(content.expires, now, ttl_max);
    return left ? std::to_string(left->count()) + "s" : std::string{};
}

void write_android(JsonWriter& json, const PushContent& content, WallMillis now) {
    json.key("android").begin_object();
    json.field("priority", is_urgent(content) ? "HIGH" : "NORMAL");
    if (const std::string ttl = ttl_of(content, now); !ttl.empty()) json.field("ttl", ttl);
    if (!content.collapse_key.empty()) json.field("collapse_key", content.collapse_key);
    if (has_notification(content)) write_android_notification(json, content);
    json.end_object();
}

std::size_t counted_bytes(const PushContent& content) {
    std::size_t bytes = id_name.size() + id_text_bytes;
    if (!content.data.empty()) bytes += data_name.size() + content.data.size();
    if (!content.category.empty()) bytes += category_name.size() + content.category.size();
    if (has_notification(content)) bytes += content.title.size() + content.body.size();
    return bytes;
}

} // namespace

std::string fcm_payload(const delivery::NotificationId& id, const PushContent& content,
                        const delivery::PushDevice& device, WallMillis now) {
    std::string out;
    out.reserve(content.title.size() + content.body.size() + content.data.size() * 5 / 4 +
                device.token.size() + 384);
    JsonWriter json{out};
    json.begin_object().key("message").begin_object().field("token", device.token);
    if (has_notification(content)) write_notification(json, content);
    write_data(json, id, content);
    write_android(json, content, now);
    json.end_object().end_object();
    return out;
}

std::string FcmPayloads::make(const delivery::NotificationId& id, const PushContent& content,
                              const delivery::PushDevice& device, WallMillis now) {
    constexpr std::string_view head = R"({"message":{"token":)";
    const std::string name = id.text();
    std::string left = ttl_of(content, now);
    const bool same = before_.is(content) && left == left_;
    std::string out;
    if (same) {
        out.reserve(head.size() + device.token.size() + middle_.size() + name.size() + end_.size() +
                    16);
        out = head;
        append_json_string(out, device.token);
        return out.append(middle_).append(name).append(end_);
    }
    out = fcm_payload(id, content, device, now);
    left_ = std::move(left);
    std::string token;
    append_json_string(token, device.token);
    const std::size_t from = head.size() + token.size();
    // Texts stand before it, in which a quote is escaped.
    const std::size_t at = out.find(R"("data":{"id":")" + name, from) + 14;
    middle_ = out.substr(from, at - from);
    end_ = out.substr(at + name.size());
    return out;
}

Error check_fcm(const PushContent& content) {
    const std::size_t size = counted_bytes(content);
    if (size <= fcm_payload_max) return {};
    return {Code::too_large,
            "the notification is " + std::to_string(size) + " bytes for FCM, which takes " +
                std::to_string(fcm_payload_max),
            {}};
}

PushRequest fcm_request(std::string_view project_id, std::string_view authorization,
                        const delivery::NotificationId& id, const PushContent& content,
                        const delivery::PushDevice& device, WallMillis now, FcmPayloads& payloads) {
    PushRequest request;
    request.path = "/v1/projects/" + std::string{project_id} + "/messages:send";
    request.fields.push_back({"authorization", std::string{authorization}, true});
    request.fields.push_back({"content-type", "application/json"});
    request.body = payloads.make(id, content, device, now);
    return request;
}

} // namespace fanfare::providers
