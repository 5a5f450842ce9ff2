// Settings of what is not built yet. They are checked as if it were, so that a configuration can be
// written once; asking for any of it then stops the start.

#include "config_check.hpp"
#include "config_files.hpp"
#include "config_pem.hpp"

#include <array>

namespace fanfare::app {
namespace {

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

void refuse_unbuilt(const Checks& checks) {
    struct Row {
        bool asked;
        std::string_view key;
        std::string_view what;
    };
    const Config& config = checks.config;
    const std::array<Row, 4> rows{{
        {checks.given("server.tls"), "server.tls",
         "TLS is not built yet; end it in a proxy and remove this section"},
        {config.broker.type == BrokerOptions::Type::redis, "broker.type",
         "redis is not built yet; use local, on one node"},
        {config.store.type == StoreOptions::Type::redis, "store.type",
         "redis is not built yet; use sqlite"},
        {!config.jwks_url.empty(), "auth.jwt.jwks_url",
         "fetching keys is not built yet; name a file in auth.jwt.public_key"},
    }};
    for (const Row& row : rows)
        if (row.asked) fail(checks.place(row.key), row.key, row.what);
}

} // namespace

std::string_view unbuilt_section(std::string_view key) noexcept {
    constexpr std::string_view section = "server.tls";
    return key.starts_with(section) ? section : std::string_view{};
}

void check_unbuilt(Checks& checks) {
    check_tls(checks);
    refuse_unbuilt(checks);
}

} // namespace fanfare::app
