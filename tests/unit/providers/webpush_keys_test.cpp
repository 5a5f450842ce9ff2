#include "p256.hpp"
#include "webpush_keys.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <openssl/err.h>

using namespace fanfare;
using namespace fanfare::providers;

namespace {

// RFC 8291 appendix A.
const std::string p256dh =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const std::string auth = "BTBZMqHH6r4Tts7J_aSIgg";

std::string fault_of(std::string_view key, std::string_view secret) {
    const auto read = read_webpush_keys(key, secret);
    CHECK(ERR_peek_error() == 0);
    if (const auto* const error = std::get_if<Error>(&read)) {
        CHECK(error->code == Code::bad_request);
        CHECK((error->field == "p256dh" || error->field == "auth"));
        return error->message;
    }
    return "accepted";
}
std::string base64_of(const std::string& bytes) {
    return to_base64url(as_byte_view(bytes));
}

} // namespace

TEST_CASE("webpush keys: in each base64 that browsers and old clients send", "[providers]") {
    std::string standard = p256dh;
    for (char& c : standard) {
        if (c == '-') c = '+';
        if (c == '_') c = '/';
    }
    for (const std::string& key : {p256dh, p256dh + "=", standard, standard + "=", " " + p256dh}) {
        CAPTURE(key);
        for (const std::string& secret : {auth, auth + "=="}) {
            const auto read = read_webpush_keys(key, secret);
            REQUIRE(std::holds_alternative<WebPushKeys>(read));
            CHECK(std::get<WebPushKeys>(read).p256dh.size() == 65);
            CHECK(base64_of(std::get<WebPushKeys>(read).auth) == auth);
        }
    }
}

TEST_CASE("webpush keys: what is wrong is named", "[providers]") {
    const std::string point = from_base64url(p256dh).value();
    const std::string size = "`p256dh` must be 65 bytes: an uncompressed point on P-256";
    const std::string place = "`p256dh` is not a point on P-256";
    std::string moved = point;
    moved[40] = static_cast<char>(moved[40] ^ 1);
    CHECK(fault_of("", auth) == size);
    CHECK(fault_of("!", auth) == "`p256dh` is not base64url");
    CHECK(fault_of(base64_of(point.substr(1)), auth) == size);
    CHECK(fault_of(base64_of('\x02' + point.substr(1, 32)), auth) == size); // compressed
    CHECK(fault_of(base64_of('\x06' + point.substr(1)), auth) == place);    // hybrid
    CHECK(fault_of(base64_of(moved), auth) == place);
    CHECK(fault_of(base64_of('\x04' + std::string(64, '\0')), auth) == place);
    CHECK(fault_of(base64_of('\x04' + std::string(64, '\xff')), auth) == place);
    CHECK(fault_of(base64_of(std::string(65, '\0')), auth) == place);
    CHECK(fault_of(p256dh, "") == "`auth` must be 16 bytes");
    CHECK(fault_of(p256dh, base64_of(std::string(15, 'a'))) == "`auth` must be 16 bytes");
    CHECK(fault_of(p256dh, base64_of(std::string(17, 'a'))) == "`auth` must be 16 bytes");
    CHECK(fault_of(p256dh, "a=b") == "`auth` is not base64url");
    CHECK(fault_of(p256dh, auth) == "accepted");
}

TEST_CASE("p256: numbers outside the group are no private keys", "[providers]") {
    const auto hex = [](const char* text) { return from_hex(text).value(); };
    const std::string order =
        hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    CHECK_FALSE(p256_private_key(order));
    CHECK_FALSE(p256_private_key(std::string(32, '\0')));
    CHECK_FALSE(p256_private_key("short"));
    std::string below = order;
    below.back() = '\x50';
    CHECK(p256_private_key(below));
}
