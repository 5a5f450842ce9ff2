#include "apns_request.hpp"

#include "push_deadline.hpp"

#include <fanfare/base/bytes.hpp>

#include <algorithm>

namespace fanfare::providers {
namespace {

constexpr std::size_t collapse_id_max = 64;
constexpr std::chrono::seconds expiration_max = std::chrono::hours{24 * 30};

/// Goes into a field of a request as it is.
bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string collapse_id(std::string_view key) {
    if (key.size() <= collapse_id_max && is_plain(key)) return std::string{key};
    return to_base64url(as_byte_view(sha256(key)));
}

std::string priority_of(delivery::Priority priority, ApnsPushType type) {
    const bool later = type == ApnsPushType::background ||
                       (type == ApnsPushType::alert && priority == delivery::Priority::low);
    return later ? "5" : "10";
}

/// Unix seconds. What ends within this second is worth one try and no storing.
std::string expiration_of(std::chrono::seconds left, WallMillis now) {
    return left.count() == 0 ? "0" : std::to_string(now / 1'000 + left.count());
}

} // namespace

std::string apns_id(const delivery::NotificationId& id) {
    const std::string hex = to_hex(as_byte_view(id.raw()));
    std::string uuid;
    uuid.reserve(hex.size() + 4);
    for (std::size_t i = 0; i < hex.size(); ++i) {
        if (i == 8 || i == 12 || i == 16 || i == 20) uuid += '-';
        uuid += hex[i];
    }
    return uuid;
}

PushRequest apns_request(std::string_view topic, std::string_view authorization,
                         const delivery::NotificationId& id, const delivery::PushContent& content,
                         const delivery::PushDevice& device, WallMillis now,
                         ApnsPayloads& payloads) {
    const ApnsPushType type = apns_push_type(content, topic);
    PushRequest request;
    request.path = "/3/device/" + device.token;
    request.body = payloads.make(content, id, type);
    auto& fields = request.fields;
    fields.reserve(7);
    if (!authorization.empty())
        fields.push_back({"authorization", std::string{authorization}, true});
    fields.push_back({"apns-topic", std::string{topic}});
    fields.push_back({"apns-push-type", std::string{apns_push_type_name(type)}});
    fields.push_back({"apns-priority", priority_of(content.priority, type)});
    fields.push_back({"apns-id", apns_id(id), true});
    if (const auto left = seconds_left(content.expires, now, expiration_max))
        fields.push_back({"apns-expiration", expiration_of(*left, now), true});
    if (!content.collapse_key.empty())
        fields.push_back({"apns-collapse-id", collapse_id(content.collapse_key), true});
    return request;
}

} // namespace fanfare::providers
