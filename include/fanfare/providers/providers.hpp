#pragma once
// The shelf of push vendors: what `app` fills from the configuration. Keys are texts, not paths:
// who reads files is `app`.

#include <fanfare/http/h2_client.hpp>

#include <memory>
#include <string>

namespace fanfare::delivery {
class Provider;
}
namespace fanfare::net {
class BlockingThread;
class Reactor;
} // namespace fanfare::net

namespace fanfare::providers {

/// What all vendors' credentials have.
struct CredentialOptions {
    /// Tells several credentials of a vendor apart, in metrics, logs and timelines. Empty: the one
    /// without a name.
    std::string app;
    std::string ca;             // path of a PEM file; empty: the system's
    http::H2ProxyOptions proxy; // for all connections; without a host: none
};

/// Apple. Either a token key (`key`, `key_id`, `team_id`) or a client certificate.
struct ApnsOptions : CredentialOptions {
    std::string endpoint = "https://api.push.apple.com";
    std::string key;     // PEM of the .p8 file: EC on P-256
    std::string key_id;  // 10 characters
    std::string team_id; // 10 characters
    /// The app's bundle id. With the suffix `.voip` all pushes are VoIP pushes.
    std::string topic;
    std::string certificate;     // PEM; empty: the token key
    std::string certificate_key; // PEM
    [[nodiscard]] bool by_certificate() const noexcept { return !certificate.empty(); }
};

/// Google, HTTP v1.
struct FcmOptions : CredentialOptions {
    std::string service_account; // the JSON text as Google gives it
    /// Of the pushes; tokens come from where the account says.
    std::string endpoint = "https://fcm.googleapis.com";
};

/// Browsers' push services, with VAPID (RFC 8292).
struct WebPushOptions : CredentialOptions {
    std::string subject;     // mailto: or https: contact of the operator
    std::string private_key; // PEM, EC on P-256; or its 32 bytes as base64url
    /// Endpoints come from users. With this they may lead to private, loopback and other addresses
    /// that are not of the public Internet, and so to whatever this machine can reach: for tests.
    bool allow_private = false;
};

/// Apple's provider tokens, one for each team and key that credentials share: apps of one team
/// often have one key, and Apple refuses a sender that makes new tokens too often.
class ApnsTokens {
  public:
    ApnsTokens();
    ~ApnsTokens();
    ApnsTokens(const ApnsTokens&) = delete;
    ApnsTokens& operator=(const ApnsTokens&) = delete;

    class Shelf;
    [[nodiscard]] Shelf& shelf() noexcept { return *shelf_; }

  private:
    std::unique_ptr<Shelf> shelf_;
};

/// One credential on one reactor, which is where it is made, called and destroyed, but not within
/// an outcome that it tells. `resolver` looks names up; it lives longer. Throws std::runtime_error
/// with one sentence that names the option that is wrong, never its value.
///
/// A credential has one of these in the whole process, for as long as its options stay the same.
/// `tokens` outlives none of them, and may go before.
[[nodiscard]] std::unique_ptr<delivery::Provider> make_apns(net::Reactor& reactor,
                                                            net::BlockingThread& resolver,
                                                            ApnsTokens& tokens,
                                                            const ApnsOptions& options);
[[nodiscard]] std::unique_ptr<delivery::Provider>
make_fcm(net::Reactor& reactor, net::BlockingThread& resolver, const FcmOptions& options);
[[nodiscard]] std::unique_ptr<delivery::Provider>
make_webpush(net::Reactor& reactor, net::BlockingThread& resolver, const WebPushOptions& options);

} // namespace fanfare::providers
