#pragma once
// The shelf of push vendors: what `app` fills from the configuration. Keys are texts, not paths:
// who reads files is `app`.

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

/// Apple. Either a token key (`key`, `key_id`, `team_id`) or a client certificate.
struct ApnsOptions {
    std::string endpoint = "https://api.push.apple.com";
    std::string key;     // PEM of the .p8 file: EC on P-256
    std::string key_id;  // 10 characters
    std::string team_id; // 10 characters
    /// The app's bundle id. With the suffix `.voip` all pushes are VoIP pushes.
    std::string topic;
    std::string certificate;     // PEM; empty: the token key
    std::string certificate_key; // PEM
    std::string ca;              // path of a PEM file; empty: the system's
    [[nodiscard]] bool by_certificate() const noexcept { return !certificate.empty(); }
    friend bool operator==(const ApnsOptions&, const ApnsOptions&) = default;
};

/// Google, HTTP v1.
struct FcmOptions {
    std::string service_account; // the JSON text as Google gives it
    /// Of the pushes; tokens come from where the account says.
    std::string endpoint = "https://fcm.googleapis.com";
    std::string ca; // path of a PEM file; empty: the system's
    friend bool operator==(const FcmOptions&, const FcmOptions&) = default;
};

/// Browsers' push services, with VAPID (RFC 8292).
struct WebPushOptions {
    std::string subject;     // mailto: or https: contact of the operator
    std::string private_key; // PEM, EC on P-256; or its 32 bytes as base64url
    std::string ca;          // path of a PEM file; empty: the system's
    /// Endpoints come from users. With this they may lead to private, loopback and other addresses
    /// that are not of the public Internet, and so to whatever this machine can reach: for tests.
    bool allow_private = false;
    friend bool operator==(const WebPushOptions&, const WebPushOptions&) = default;
};

/// One credential on one reactor, which is where it is made, called and destroyed, but not within
/// an outcome that it tells. `resolver` looks names up; it lives longer. Throws std::runtime_error
/// with one sentence that names the option that is wrong, never its value.
///
/// A credential has one of these in the whole process, for as long as its options stay the same:
/// Apple refuses a sender that makes new tokens too often.
[[nodiscard]] std::unique_ptr<delivery::Provider>
make_apns(net::Reactor& reactor, net::BlockingThread& resolver, const ApnsOptions& options);
[[nodiscard]] std::unique_ptr<delivery::Provider>
make_fcm(net::Reactor& reactor, net::BlockingThread& resolver, const FcmOptions& options);
[[nodiscard]] std::unique_ptr<delivery::Provider>
make_webpush(net::Reactor& reactor, net::BlockingThread& resolver, const WebPushOptions& options);

} // namespace fanfare::providers
