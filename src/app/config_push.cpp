// Credentials of push services: complete, and what the vendors ask for.

#include "config_check.hpp"
#include "config_files.hpp"
#include "config_pem.hpp"

#include <fanfare/delivery/devices.hpp>

#include <fmt/format.h>
#include <simdjson.h>

#include <string>
#include <utility>
#include <vector>

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

/// The credentials of one app, below `prefix`: "push", or "push.apps[0]".
class AppCheck {
  public:
    AppCheck(Checks& checks, PushApp& app, std::string prefix)
        : checks_(checks), app_(app), prefix_(std::move(prefix)) {}

    void check() {
        if (given("apns")) check_apns();
        if (given("fcm")) check_fcm();
        if (given("webpush")) check_webpush();
    }

  private:
    [[nodiscard]] std::string key(std::string_view name) const {
        return fmt::format("{}.{}", prefix_, name);
    }
    [[nodiscard]] bool given(std::string_view section) const { return checks_.given(key(section)); }
    void need_key(std::string_view name, const std::string& value, std::string_view what) const {
        need(checks_, key(name), value, what);
    }
    void serve(delivery::Platform platform) {
        checks_.config.inbox.pushes_to.serve(platform, app_.name);
    }

    void check_apns() {
        ApnsOptions& apns = app_.apns;
        if (apns.certificate.empty() && apns.certificate_key.empty())
            check_apns_key(apns);
        else
            check_apns_certificate(apns);
        static_cast<void>(read_certificates(checks_, key("apns.ca"), apns.ca));
        serve(delivery::Platform::ios);
    }

    void check_apns_key(ApnsOptions& apns) const {
        need_key("apns.key", apns.key, "the .p8 file of the signing key");
        need_key("apns.key_id", apns.key_id, "the key's id of 10 characters");
        need_key("apns.team_id", apns.team_id, "the team's id of 10 characters");
        need_key("apns.topic", apns.topic, "the app's bundle id");
        apns.key_text = read_p256_key(checks_, key("apns.key"), apns.key);
    }

    void check_apns_certificate(ApnsOptions& apns) {
        const auto exclude = [&](std::string_view name, const std::string& value) {
            if (!value.empty())
                checks_.complain(key(name),
                                 fmt::format("and {} exclude each other: Apple knows the sender by "
                                             "a signing key, or by a certificate",
                                             key(apns.certificate.empty() ? "apns.certificate_key"
                                                                          : "apns.certificate")));
        };
        exclude("apns.key", apns.key);
        exclude("apns.key_id", apns.key_id);
        exclude("apns.team_id", apns.team_id);
        need_key("apns.certificate", apns.certificate, "a PEM file with the app's certificate");
        need_key("apns.certificate_key", apns.certificate_key,
                 "a PEM file with the certificate's private key");
        need_key("apns.topic", apns.topic, "the app's bundle id");
        if (!apns.endpoint.starts_with("https://"))
            checks_.complain(key("apns.endpoint"), "must begin with https://: without TLS nobody "
                                                   "asks for the certificate");
        apns.certificate_text =
            read_certificates(checks_, key("apns.certificate"), apns.certificate);
        apns.key_text =
            read_private_key(checks_, key("apns.certificate_key"), apns.certificate_key);
        if (!is_pair(apns.certificate_text, apns.key_text))
            checks_.complain_file(key("apns.certificate_key"), apns.certificate_key,
                                  "is not the key of " + key("apns.certificate"));
        warn_of_end(apns);
    }

    void warn_of_end(const ApnsOptions& apns) {
        const auto left = certificate_days_left(apns.certificate_text);
        if (left > 30) return;
        checks_.warn(key("apns.certificate"), left < 0 ? std::string{"is over: Apple refuses it"}
                                                       : fmt::format("ends in {} days", left));
    }

    void check_fcm() {
        FcmOptions& fcm = app_.fcm;
        need_key("fcm.service_account", fcm.service_account, "the JSON file of a service account");
        fcm.account_text =
            read_service_account(checks_, key("fcm.service_account"), fcm.service_account);
        static_cast<void>(read_certificates(checks_, key("fcm.ca"), fcm.ca));
        serve(delivery::Platform::android);
    }

    void check_webpush() {
        WebPushOptions& webpush = app_.webpush;
        need_key("webpush.subject", webpush.subject, "a contact such as mailto:ops@example.com");
        need_key("webpush.private_key", webpush.private_key, "a PEM file with an EC P-256 key");
        if (!webpush.subject.starts_with("mailto:") && !webpush.subject.starts_with("https://"))
            checks_.complain(key("webpush.subject"),
                             in_quotes(webpush.subject) +
                                 " is no contact; write mailto:ops@example.com or https://…");
        webpush.key_text = read_p256_key(checks_, key("webpush.private_key"), webpush.private_key);
        static_cast<void>(read_certificates(checks_, key("webpush.ca"), webpush.ca));
        serve(delivery::Platform::web);
    }

    Checks& checks_;
    PushApp& app_;
    const std::string prefix_;
};

/// What devices name must lead to one app.
void check_name(const Checks& checks, const std::vector<PushApp>& apps, std::size_t index) {
    const std::string& name = apps[index].name;
    for (std::size_t i = 0; i < index; ++i)
        if (apps[i].name == name)
            checks.complain(fmt::format("push.apps[{}].name", index),
                            in_quotes(name) + " is the name of another app; each needs its own");
}

} // namespace

void check_push(Checks& checks) {
    Config& config = checks.config;
    AppCheck{checks, config.push_app, "push"}.check();
    for (std::size_t i = 0; i < config.push_apps.size(); ++i) {
        const std::string prefix = fmt::format("push.apps[{}]", i);
        check_name(checks, config.push_apps, i);
        if (!checks.given(prefix + ".apns") && !checks.given(prefix + ".fcm") &&
            !checks.given(prefix + ".webpush"))
            checks.complain(prefix, "has no credential; expected apns, fcm or webpush");
        AppCheck{checks, config.push_apps[i], prefix}.check();
    }
}

} // namespace fanfare::app
