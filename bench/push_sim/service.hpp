// The contract of a service: it judges requests, and it says errors in its vendor's words.
#pragma once

#include "exchange.hpp"
#include "scripts.hpp"
#include "settings.hpp"
#include "tls.hpp"

#include <memory>
#include <string>

namespace sim {

struct World;

/// What a service remembers of one connection.
struct Peer {
    std::uint64_t connection = 0;
    bool secure = false;
    bool certificate_mode = false;
    ClientCertificate certificate;
    // APNs binds a connection to its first team and key.
    std::string jwt, team, kid;
    double jwt_iat = 0;
    Instant jwt_since{};
    bool jwt_expired = false; // nothing helps any more
    unsigned bad_tokens = 0;
};

/// One per worker: no locks of its own.
class Service {
  public:
    virtual ~Service() = default;

    /// Judges a complete request: fills the answer as if there were no scripts, target and id.
    virtual void judge(Exchange& exchange, Peer& peer, const Settings& settings) = 0;

    /// Makes the answer what `step` demands: status, reason and form in this vendor's shape.
    virtual void say(const Step& step, Exchange& exchange, Peer& peer,
                     const Settings& settings) = 0;

    /// Called when the answer is a success for good: the message reaches its reader.
    virtual void accepted(Exchange& /*exchange*/) {}

    /// Whether a new connection meets its end at once, with what in the GOAWAY.
    [[nodiscard]] virtual std::string refuses(const Peer& /*peer*/) { return {}; }
};

[[nodiscard]] std::unique_ptr<Service> make_apns(World& world);
[[nodiscard]] std::unique_ptr<Service> make_fcm(World& world);
[[nodiscard]] std::unique_ptr<Service> make_webpush(World& world);
[[nodiscard]] std::unique_ptr<Service> make_oauth(World& world);

} // namespace sim
