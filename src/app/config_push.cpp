// Credentials of push services: complete, and what the vendors ask for.

#include "config_check.hpp"
#include "config_files.hpp"
#include "config_pem.hpp"

#include <fanfare/delivery/devices.hpp>

#include <fmt/format.h>
#include <simdjson.h>

namespace fanfare::app {
namespace {

std::string read_p256_key(const Checks& checks, std::string_view key, std::string& path) {
    std::string pem = read_private_key(checks, key, path);
    if (check_private_key(pem).type != KeyType::ec_p256)
        checks.complain_file(key, path, "holds a key that is not EC P-256");
    return pem;
}

/// Members that signing needs (Google: OAuth 2.0 for server to server).
std::string read_service_account(const Checks& checks, std::string_view key, std::string& path) {
    std::string text = checks.read(key, path);
    simdjson::dom::parser parser;
    simdjson::dom::object account;
    if (parser.parse(text).get(account) != simdjson::SUCCESS)
        checks.complain_file(key, path, "is not a JSON object");
    for (const std::string_view name : {"project_id", "client_email", "token_uri", "private_key"}) {
        std::string_view value;
        if (account[name].get(value) != simdjson::SUCCESS || value.empty())
            checks.complain_file(key, path, fmt::format("lacks {}", in_quotes(name)));
        if (name == "private_key" && check_private_key(std::string{value}).type != KeyType::rsa)
            checks.complain_file(key, path, "has a private_key that is no RSA key in PEM");
    }
    return text;
}

void check_apns(const Checks& checks) {
    if (!checks.given("push.apns")) return;
    ApnsOptions& apns = checks.config.apns;
    need(checks, "push.apns.key", apns.key, "the .p8 file of the signing key");
    need(checks, "push.apns.key_id", apns.key_id, "the key's id of 10 characters");
    need(checks, "push.apns.team_id", apns.team_id, "the team's id of 10 characters");
    need(checks, "push.apns.topic", apns.topic, "the app's bundle id");
    apns.key_text = read_p256_key(checks, "push.apns.key", apns.key);
    static_cast<void>(read_certificates(checks, "push.apns.ca", apns.ca));
}

void check_fcm(const Checks& checks) {
    if (!checks.given("push.fcm")) return;
    FcmOptions& fcm = checks.config.fcm;
    need(checks, "push.fcm.service_account", fcm.service_account,
         "the JSON file of a service account");
    fcm.account_text =
        read_service_account(checks, "push.fcm.service_account", fcm.service_account);
    static_cast<void>(read_certificates(checks, "push.fcm.ca", fcm.ca));
}

void check_webpush(const Checks& checks) {
    if (!checks.given("push.webpush")) return;
    WebPushOptions& webpush = checks.config.webpush;
    need(checks, "push.webpush.subject", webpush.subject,
         "a contact such as mailto:ops@example.com");
    need(checks, "push.webpush.private_key", webpush.private_key,
         "a PEM file with an EC P-256 key");
    if (!webpush.subject.starts_with("mailto:") && !webpush.subject.starts_with("https://"))
        checks.complain("push.webpush.subject",
                        in_quotes(webpush.subject) +
                            " is no contact; write mailto:ops@example.com or https://…");
    webpush.key_text = read_p256_key(checks, "push.webpush.private_key", webpush.private_key);
    static_cast<void>(read_certificates(checks, "push.webpush.ca", webpush.ca));
}

} // namespace

void check_push(Checks& checks) {
    check_apns(checks);
    check_fcm(checks);
    check_webpush(checks);
    const auto serve = [&](const std::string& credential, delivery::Platform platform) {
        if (!credential.empty()) checks.config.inbox.pushes_to |= delivery::platform_bit(platform);
    };
    serve(checks.config.apns.key_text, delivery::Platform::ios);
    serve(checks.config.fcm.account_text, delivery::Platform::android);
    serve(checks.config.webpush.key_text, delivery::Platform::web);
}

} // namespace fanfare::app
