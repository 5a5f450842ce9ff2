// The browser's half of Web Push encryption: keys of a subscription, and reading what a sender
// encrypted for it (RFC 8188, 8291). Only the reading side exists here.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>

namespace sim {

/// What a browser keeps of a subscription.
class Recipient {
  public:
    /// New keys.
    Recipient();

    /// Known ones: a private key of 32 bytes, its public key of 65, a secret of 16. Throws
    /// std::invalid_argument.
    Recipient(std::string_view private_key, std::string_view public_key, std::string_view auth);

    [[nodiscard]] const std::string& public_key() const { return public_key_; } // 65 bytes
    [[nodiscard]] const std::string& auth() const { return auth_; }             // 16 bytes

    struct Opened {
        std::string error; // what is wrong with the body; empty if nothing is
        std::string plaintext;
        std::string salt;
        std::string sender_key; // 65 bytes
    };

    /// Takes a whole body: header, and the one record that RFC 8291 §4 allows.
    [[nodiscard]] Opened open(std::string_view body) const;

  private:
    std::shared_ptr<EVP_PKEY> key_;
    std::string public_key_;
    std::string auth_;
};

} // namespace sim
