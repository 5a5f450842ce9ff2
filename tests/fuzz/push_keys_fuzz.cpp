// What users and operators hand over for pushes, any bytes at all: endpoints, subscription keys,
// a service account. No crash; what is accepted keeps its promises.

#include "fcm_account.hpp"
#include "webpush_encrypt.hpp"
#include "webpush_endpoint.hpp"
#include "webpush_keys.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

using namespace fanfare;
using namespace fanfare::providers;

namespace {

void expect(bool promise) {
    if (!promise) std::abort();
}

void check_endpoint(std::string_view url) {
    const auto parsed = parse_endpoint(url);
    const auto* const endpoint = std::get_if<WebPushEndpoint>(&parsed);
    if (endpoint == nullptr) return;
    expect(endpoint->path.starts_with('/') && url.ends_with(endpoint->path.substr(1)));
    expect(!endpoint->host.empty() && endpoint->port != 0);
    for (const std::string* text : {&endpoint->host, &endpoint->path, &endpoint->origin})
        expect(std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c < 127; }));
    expect(endpoint->host.find_first_of("/?#@[]%\\") == std::string::npos);
    // Its origin is an endpoint too, with itself as its origin.
    const auto again = parse_endpoint(endpoint->origin);
    expect(std::get<WebPushEndpoint>(again).origin == endpoint->origin);
}

void check_keys(std::string_view p256dh, std::string_view auth) {
    static WebPushEncryptor encryptor;
    const auto read = read_webpush_keys(p256dh, auth);
    if (const auto* const keys = std::get_if<WebPushKeys>(&read))
        expect(encryptor.encrypt(keys->p256dh, keys->auth, "x").has_value());
    else
        expect(std::get<Error>(read).code == Code::bad_request);
    static_cast<void>(encryptor.encrypt(p256dh, auth, "x"));
}

void check_account(std::string_view json) {
    try {
        const FcmAccount account = read_fcm_account(json, "sa.json");
        expect(!account.project_id.empty() && account.token_uri.starts_with("https://"));
    } catch (const std::runtime_error& error) {
        expect(std::string_view{error.what()}.starts_with("sa.json: "));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const std::string_view line = text.substr(0, text.find('\n'));
    check_endpoint(text);
    check_keys(line, text.substr(std::min(line.size() + 1, text.size())));
    check_account(text);
    return 0;
}
