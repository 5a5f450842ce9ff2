// Settings of what is not built yet. They are checked as if it were, so that a configuration can be
// written once; asking for any of it then stops the start.

#include "config_check.hpp"
#include "config_files.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>

namespace fanfare::app {
namespace {

void need(const Checks& checks, std::string_view key, const std::string& value,
          std::string_view what) {
    if (value.empty()) checks.complain(key, fmt::format("is missing; expected {}", what));
}

std::string read_certificates(const Checks& checks, std::string_view key, std::string& path) {
    if (path.empty()) return "";
    std::string pem = checks.read(key, path);
    const std::string fault = certificate_fault(pem);
    if (!fault.empty()) checks.complain_file(key, path, fault);
    return pem;
}

std::string read_private_key(const Checks& checks, std::string_view key, std::string& path) {
    std::string pem = checks.read(key, path);
    const KeyCheck check = check_private_key(pem);
    if (!check.fault.empty()) checks.complain_file(key, path, check.fault);
    return pem;
}

void check_p256_key(const Checks& checks, std::string_view key, std::string& path) {
    if (check_private_key(read_private_key(checks, key, path)).type != KeyType::ec_p256)
        checks.complain_file(key, path, "holds a key that is not EC P-256");
}

/// Members that signing needs (Google: OAuth 2.0 for server to server).
void check_service_account(const Checks& checks, std::string_view key, std::string& path) {
    const std::string text = checks.read(key, path);
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
}

void check_tls(const Checks& checks) {
    if (!checks.given("server.tls")) return;
    TlsOptions& tls = checks.config.tls;
    need(checks, "server.tls.certificate", tls.certificate, "a PEM file with the certificate");
    need(checks, "server.tls.key", tls.key, "a PEM file with the certificate's private key");
    const std::string certificate =
        read_certificates(checks, "server.tls.certificate", tls.certificate);
    const std::string key = read_private_key(checks, "server.tls.key", tls.key);
    if (!is_pair(certificate, key))
        checks.complain_file("server.tls.key", tls.key, "is not the key of server.tls.certificate");
    static_cast<void>(read_certificates(checks, "server.tls.client_ca", tls.client_ca));
}

void check_apns(const Checks& checks) {
    if (!checks.given("push.apns")) return;
    ApnsOptions& apns = checks.config.apns;
    need(checks, "push.apns.key", apns.key, "the .p8 file of the signing key");
    need(checks, "push.apns.key_id", apns.key_id, "the key's id of 10 characters");
    need(checks, "push.apns.team_id", apns.team_id, "the team's id of 10 characters");
    need(checks, "push.apns.topic", apns.topic, "the app's bundle id");
    check_p256_key(checks, "push.apns.key", apns.key);
    static_cast<void>(read_certificates(checks, "push.apns.ca", apns.ca));
}

void check_fcm(const Checks& checks) {
    if (!checks.given("push.fcm")) return;
    FcmOptions& fcm = checks.config.fcm;
    need(checks, "push.fcm.service_account", fcm.service_account,
         "the JSON file of a service account");
    check_service_account(checks, "push.fcm.service_account", fcm.service_account);
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
    check_p256_key(checks, "push.webpush.private_key", webpush.private_key);
    static_cast<void>(read_certificates(checks, "push.webpush.ca", webpush.ca));
}

void refuse_unbuilt(const Checks& checks) {
    struct Row {
        bool asked;
        std::string_view key;
        std::string_view what;
    };
    const Config& config = checks.config;
    const std::array<Row, 7> rows{{
        {checks.given("server.tls"), "server.tls",
         "TLS is not built yet; end it in a proxy and remove this section"},
        {config.broker.type == BrokerOptions::Type::redis, "broker.type",
         "redis is not built yet; use local, on one node"},
        {config.store.type == StoreOptions::Type::redis, "store.type",
         "redis is not built yet; use sqlite"},
        {checks.given("push.apns"), "push.apns", "push is not built yet; remove this section"},
        {checks.given("push.fcm"), "push.fcm", "push is not built yet; remove this section"},
        {checks.given("push.webpush"), "push.webpush",
         "push is not built yet; remove this section"},
        {!config.jwks_url.empty(), "auth.jwt.jwks_url",
         "fetching keys is not built yet; name a file in auth.jwt.public_key"},
    }};
    for (const Row& row : rows)
        if (row.asked) fail(checks.place(row.key), row.key, row.what);
}

} // namespace

std::string_view unbuilt_section(std::string_view key) noexcept {
    for (const std::string_view section : {"server.tls", "push.apns", "push.fcm", "push.webpush"})
        if (key.starts_with(section)) return section;
    return {};
}

void check_unbuilt(Checks& checks) {
    check_tls(checks);
    check_apns(checks);
    check_fcm(checks);
    check_webpush(checks);
    refuse_unbuilt(checks);
}

} // namespace fanfare::app
