#pragma once
// The contract of identity: who is this, until when, and what does the token grant.

#include <fanfare/base/error.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::session {

/// What a valid token says. Shared by nothing but the session that holds it.
struct Identity {
    std::string user;                   // `sub`
    std::string info;                   // claim `info`: JSON as it came; empty if absent
    std::string device;                 // claim `device`; empty if absent
    std::vector<std::string> subscribe; // claim rooms.subscribe: names or patterns with `*`
    std::vector<std::string> publish;   // claim rooms.publish
    std::int64_t expires = 0;           // `exp`, Unix seconds
    std::int64_t closes = 0; // when a session ends: `exp`, or exp + leeway if that had passed
};
using IdentityRef = std::shared_ptr<const Identity>;

class Authorizer {
  public:
    virtual ~Authorizer() = default;
    /// `done` gets the identity, or null and an error (always Code::unauthorized towards the
    /// client, with a detail that does not help an attacker; the exact cause is logged at debug).
    /// May be called before this returns. Called on the reactor that owns this instance.
    using Done = std::function<void(IdentityRef, const Error&)>;
    virtual void authenticate(std::string token, Done done) = 0;
};

} // namespace fanfare::session
