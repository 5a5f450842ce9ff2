// TLS of the listeners: a certificate authority made at the start, and what it signed.
#pragma once

#include "exchange.hpp"
#include "settings.hpp"

#include <openssl/types.h>

#include <array>
#include <memory>
#include <string>

namespace sim {

/// Which protocol the connection's owner lets ALPN choose. Its address is the SSL's application
/// data, since one context serves connections with different wishes.
struct AlpnChoice {
    bool http2 = true;
    bool http1 = true;
};

/// One certificate per kind of fault. Contexts are shared by all workers.
class Tls {
  public:
    /// Makes the authority and its certificates, and writes ca.pem into `directory`.
    /// `client_ca`: authority whose client certificates APNs demands; empty: none.
    /// Throws std::runtime_error or std::invalid_argument.
    Tls(const std::string& directory, const std::string& client_ca);
    ~Tls();
    Tls(const Tls&) = delete;
    Tls& operator=(const Tls&) = delete;

    /// A new server-side session, freed by SSL_free.
    [[nodiscard]] SSL* open(ServiceId service, Handshake handshake, AlpnChoice& choice) const;

  private:
    enum Kind { good, expired, wrong_name, kinds };
    std::array<SSL_CTX*, kinds> contexts_{};
    std::array<SSL_CTX*, kinds> with_client_ca_{}; // APNs in certificate mode
};

/// What APNs reads from a client's certificate.
struct ClientCertificate {
    std::string topic;        // UID of the subject
    bool development = false; // extension 1.2.840.113635.100.6.3.1
    bool production = false;  // extension 1.2.840.113635.100.6.3.2
};
[[nodiscard]] ClientCertificate client_certificate(SSL* ssl);

} // namespace sim
