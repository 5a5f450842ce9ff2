#include "webpush_keys.hpp"

#include "base64_lenient.hpp"
#include "p256.hpp"

#include <utility>

namespace fanfare::providers {
namespace {

Error bad(const char* member, const std::string& sentence) {
    return {Code::bad_request, std::string{"`"} + member + "` " + sentence, member};
}

} // namespace

std::variant<WebPushKeys, Error> read_webpush_keys(std::string_view p256dh, std::string_view auth) {
    std::optional<std::string> point = from_base64_lenient(p256dh);
    if (!point) return bad("p256dh", "is not base64url");
    if (point->size() != p256_point_bytes)
        return bad("p256dh", "must be 65 bytes: an uncompressed point on P-256");
    if (!p256_public_key(*point)) return bad("p256dh", "is not a point on P-256");
    std::optional<std::string> secret = from_base64_lenient(auth);
    if (!secret) return bad("auth", "is not base64url");
    if (secret->size() != webpush_auth_bytes) return bad("auth", "must be 16 bytes");
    return WebPushKeys{std::move(*point), std::move(*secret)};
}

} // namespace fanfare::providers
