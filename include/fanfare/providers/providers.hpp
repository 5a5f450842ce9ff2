#pragma once
// The shelf of push vendors: what `app` fills from the configuration. Keys are texts, not paths:
// who reads files is `app`.

#include <string>

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
};

/// Google, HTTP v1.
struct FcmOptions {
    std::string service_account; // the JSON text as Google gives it
    std::string endpoint = "https://fcm.googleapis.com";
    std::string ca; // path of a PEM file; empty: the system's
};

/// Browsers' push services, with VAPID (RFC 8292).
struct WebPushOptions {
    std::string subject;     // mailto: or https: contact of the operator
    std::string private_key; // PEM, EC on P-256; or its 32 bytes as base64url
    std::string ca;          // path of a PEM file; empty: the system's
};

} // namespace fanfare::providers
