#include <fanfare/delivery/devices.hpp>
#include <fanfare/room/message.hpp>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <unordered_set>
#include <utility>

namespace fanfare::delivery {
namespace {

constexpr std::array<std::string_view, 3> platform_names{"ios", "android", "web"};

// APNs promises no length: today's tokens have 64 characters, Live Activities' and others more.
constexpr std::size_t ios_token_max = 400;
constexpr std::size_t android_token_max = 4'096;
constexpr std::size_t endpoint_max = 2'048;
constexpr std::size_t p256dh_bytes = 65;
constexpr std::size_t auth_bytes = 16;
constexpr std::size_t locale_max = 35; // the longest that BCP 47 asks programs to have room for
constexpr std::size_t timezone_max = 64;
constexpr std::size_t app_max = 64;
constexpr std::size_t topics_max = 100;
constexpr std::size_t topic_max = 64;

// What is said of a value never has the value in it: some of them are secrets.
Error wrong(const char* field, const char* what) {
    return {Code::bad_request, std::string{"`"} + field + "` " + what, field};
}

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}
constexpr bool is_letter(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_hex(char c) noexcept {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

template <class Test>
bool all_of(std::string_view text, Test test) {
    return std::all_of(text.begin(), text.end(), test);
}

// --- tokens ---

const char* ios_fault(std::string& token) {
    if (token.empty()) return "must not be empty";
    if (token.size() > ios_token_max) return "must have at most 400 characters";
    if (!all_of(token, is_hex)) return "must be the device token in hexadecimal";
    if (token.size() % 2 != 0) return "must be whole bytes: an even number of hexadecimal digits";
    for (char& c : token)
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    return nullptr;
}

const char* android_fault(std::string_view token) {
    if (token.empty()) return "must not be empty";
    if (token.size() > android_token_max) return "must have at most 4096 bytes";
    if (!all_of(token, [](char c) { return c > ' ' && c <= '~'; }))
        return "must be printable ASCII without spaces";
    return nullptr;
}

/// Without brackets: `[` and `]` are taken off already.
bool is_address(std::string_view text) {
    return !text.empty() && all_of(text, [](char c) { return is_hex(c) || c == ':' || c == '.'; });
}

bool is_name(std::string_view text) {
    return !text.empty() && text.front() != '.' && all_of(text, [](char c) {
        return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
    });
}

/// Empty: none was given, which is fine.
bool is_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), port);
    return fault == std::errc{} && end == text.data() + text.size() && port != 0;
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
const char* authority_fault(std::string_view authority) {
    if (authority.find('@') != std::string_view::npos)
        return "must not have a user or a password in it";
    const bool bracket = authority.starts_with('[');
    const std::size_t end = bracket ? authority.find(']') : authority.find(':');
    const std::string_view host =
        bracket ? authority.substr(1, end == std::string_view::npos ? end : end - 1)
                : authority.substr(0, end);
    if (bracket && end == std::string_view::npos) return "has no valid host";
    std::string_view rest = end == std::string_view::npos
                                ? std::string_view{}
                                : authority.substr(bracket ? end + 1 : end);
    if (bracket ? !is_address(host) : !is_name(host)) return "has no valid host";
    if (rest.empty()) return nullptr;
    if (rest.front() != ':' || !is_port(rest.substr(1))) return "has no valid port";
    return nullptr;
}

/// Whoever sends a request there takes it apart once more. All that two readers could take for two
/// different hosts (user info, backslashes, spaces, line ends) is refused here.
const char* endpoint_fault(std::string_view endpoint) {
    constexpr std::string_view scheme = "https://";
    if (endpoint.empty()) return "must not be empty";
    if (endpoint.size() > endpoint_max) return "must have at most 2048 bytes";
    if (!endpoint.starts_with(scheme)) return "must be an absolute https URL";
    static constexpr std::string_view never = "\"<>\\^`{|}#"; // RFC 3986; a fragment is never sent
    if (!all_of(endpoint, [](char c) {
            return c > ' ' && c <= '~' && never.find(c) == std::string_view::npos;
        }))
        return "has a character that no https URL of a service has";
    endpoint.remove_prefix(scheme.size());
    return authority_fault(endpoint.substr(0, endpoint.find_first_of("/?")));
}

// --- keys ---

struct FreeContext {
    void operator()(EVP_PKEY_CTX* context) const noexcept { ::EVP_PKEY_CTX_free(context); }
};
struct FreeKey {
    void operator()(EVP_PKEY* key) const noexcept { ::EVP_PKEY_free(key); }
};

/// An uncompressed point of P-256 other than infinity. A key that is not on the curve would give
/// away, message by message, the secret of whoever encrypts for it.
bool is_public_key(std::string_view point) {
    std::array<char, 6> group{"P-256"};
    std::string bytes{point}; // OpenSSL's parameters are not const
    std::array<OSSL_PARAM, 3> parameters{
        ::OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
        ::OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes.data(), bytes.size()),
        ::OSSL_PARAM_construct_end()};
    const std::unique_ptr<EVP_PKEY_CTX, FreeContext> maker{
        ::EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)};
    EVP_PKEY* made = nullptr;
    if (!maker || ::EVP_PKEY_fromdata_init(maker.get()) != 1 ||
        ::EVP_PKEY_fromdata(maker.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.data()) != 1)
        return false;
    const std::unique_ptr<EVP_PKEY, FreeKey> key{made};
    const std::unique_ptr<EVP_PKEY_CTX, FreeContext> checker{
        ::EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr)};
    return checker && ::EVP_PKEY_public_check(checker.get()) == 1;
}

const char* p256dh_fault(std::string_view key) {
    if (key.size() != p256dh_bytes || key.front() != '\x04')
        return "must be an uncompressed point of P-256: 65 bytes, the first of them 4";
    if (!is_public_key(key)) return "is not a point of the curve P-256";
    return nullptr;
}

// --- the rest ---

/// BCP 47: subtags of 1 to 8 letters and digits, the first one a language.
const char* locale_fault(std::string_view locale) {
    constexpr const char* what = "must be a language tag such as \"en\" or \"pt-BR\", 2 to 35 "
                                 "characters";
    if (locale.size() < 2 || locale.size() > locale_max) return what;
    for (bool first = true; first || !locale.empty(); first = false) {
        const std::size_t end = std::min(locale.find('-'), locale.size());
        const std::string_view subtag = locale.substr(0, end);
        if (subtag.empty() || subtag.size() > 8) return what;
        if (!all_of(subtag, [&](char c) { return is_letter(c) || (!first && is_digit(c)); }))
            return what;
        if (end + 1 == locale.size()) return what; // it ends with the dash
        locale.remove_prefix(std::min(end + 1, locale.size()));
    }
    return nullptr;
}

const char* timezone_fault(std::string_view zone) {
    static constexpr std::string_view others = "_+-/";
    if (zone.size() > timezone_max || !all_of(zone, [](char c) {
            return is_letter(c) || is_digit(c) || others.find(c) != std::string_view::npos;
        }))
        return "must be the name of a time zone such as \"Europe/Rome\", 1 to 64 characters";
    return nullptr;
}

const char* app_fault(std::string_view app) {
    if (app.size() > app_max) return "must have at most 64 bytes";
    return app.empty() ? nullptr : room::id_fault(app);
}

const char* topics_fault(const std::vector<std::string>& topics) {
    if (topics.size() > topics_max) return "must have at most 100 topics";
    for (const std::string& topic : topics)
        if (topic.size() > topic_max || room::id_fault(topic) != nullptr)
            return "must be texts of 1 to 64 bytes of UTF-8 without control characters";
    const std::unordered_set<std::string_view> different(topics.begin(), topics.end());
    return different.size() == topics.size() ? nullptr : "must not name a topic twice";
}

struct Fault {
    const char* field = nullptr;
    const char* what = nullptr; // null: none
};

Fault token_fault(PushDevice& device) {
    if (device.platform == Platform::ios) return {"device_token", ios_fault(device.token)};
    if (device.platform == Platform::android) return {"device_token", android_fault(device.token)};
    if (const char* const what = endpoint_fault(device.token))
        return {"subscription.endpoint", what};
    if (const char* const what = p256dh_fault(device.p256dh))
        return {"subscription.keys.p256dh", what};
    if (device.auth.size() != auth_bytes) return {"subscription.keys.auth", "must be 16 bytes"};
    return {};
}

} // namespace

std::string_view platform_name(Platform platform) noexcept {
    return platform_names[static_cast<std::size_t>(platform)];
}

std::optional<Platform> parse_platform(std::string_view name) noexcept {
    const auto at = std::find(platform_names.begin(), platform_names.end(), name);
    if (at == platform_names.end()) return std::nullopt;
    return static_cast<Platform>(at - platform_names.begin());
}

namespace {
std::string pair_text(Platform platform, std::string_view app) {
    std::string text{'\n', static_cast<char>('0' + static_cast<int>(platform)), ':'};
    return text.append(app).append("\n");
}
} // namespace

void PushReach::serve(Platform platform, std::string_view app) {
    if (serves(platform, app)) return;
    const std::string pair = pair_text(platform, app);
    pairs_.append(pair, pairs_.empty() ? 0 : 1);
}

bool PushReach::serves(Platform platform, std::string_view app) const {
    return pairs_.find(pair_text(platform, app)) != std::string::npos;
}

Error check_device(PushDevice& device) {
    if (const char* const what = room::id_fault(device.user)) return wrong("user_id", what);
    if (const char* const what = room::id_fault(device.name)) return wrong("device_id", what);
    if (const Fault fault = token_fault(device); fault.what != nullptr)
        return wrong(fault.field, fault.what);
    if (const char* const what = app_fault(device.app)) return wrong("app", what);
    if (const char* const what = device.locale.empty() ? nullptr : locale_fault(device.locale))
        return wrong("locale", what);
    if (const char* const what = timezone_fault(device.timezone)) return wrong("timezone", what);
    if (const char* const what = topics_fault(device.topics)) return wrong("topics", what);
    return {};
}

} // namespace fanfare::delivery
