#pragma once
// VAPID (RFC 8292): who we are, to browsers' push services.
//
// A token is for one origin and holds for 12 hours; it is used for all pushes to that origin, by
// all reactors, and renewed at half of its life. (Apple asks for no more than one an hour.) Which
// origins there are is up to users, so the tokens of those that were not used for longest go first.

#include "jose.hpp"

#include <fanfare/base/clock.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace fanfare::providers {

class Vapid {
  public:
    static constexpr std::int64_t token_seconds = 12 * 3'600;
    static constexpr std::size_t origins_max = 1'024;

    /// `private_key`: PEM, or 32 bytes as base64url; `name`: what operators call it. `subject`: a
    /// `mailto:` or `https:` contact. Throws std::runtime_error with one sentence that names what
    /// is wrong. `clock` outlives it.
    Vapid(std::string_view private_key, std::string_view name, std::string_view subject,
          const Clock& clock);

    /// Value of `Authorization` for this origin: "vapid t=…, k=…". Any thread.
    [[nodiscard]] std::shared_ptr<const std::string> authorization(const std::string& origin);
    /// What browsers need to subscribe: 65 bytes.
    [[nodiscard]] const std::string& public_key() const noexcept { return public_key_; }
    [[nodiscard]] std::size_t origins() const;

  private:
    struct Token {
        std::shared_ptr<const std::string> authorization;
        std::int64_t expires = 0; // seconds since 1970, as it says
        std::uint64_t used = 0;   // counts up
    };
    [[nodiscard]] std::shared_ptr<const std::string> make(const std::string& origin,
                                                          std::int64_t expires) const;
    void forget_oldest();

    // constant after construction
    SigningKey key_;
    std::string public_key_;
    std::string subject_;
    const Clock& clock_;
    /// Reactors share the tokens: a push holds it for one look-up, and for a signature (0.1 ms)
    /// when an origin is new or half of a token's life is over.
    mutable std::mutex mutex_;
    // under `mutex_`
    std::unordered_map<std::string, Token> tokens_; // by origin
    std::uint64_t uses_ = 0;
};

} // namespace fanfare::providers
