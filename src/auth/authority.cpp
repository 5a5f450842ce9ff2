#include "jwt.hpp"

#include <fanfare/auth/authority.hpp>
#include <fanfare/base/log.hpp>

namespace fanfare::auth {

Authority::Authority(const JwtOptions& options, const Clock& clock)
    : verifier_(std::make_unique<JwtVerifier>(options, clock)) {}

Authority::~Authority() = default;

void Authority::authenticate(std::string token, Done done) {
    const Result<session::IdentityRef> identity = verifier_->verify(token);
    if (identity) {
        done(*identity, {});
        return;
    }
    if (log::enabled(log::Level::debug))
        log::debug("token_refused", {{"cause", identity.error().message()}});
    done(nullptr, {Code::unauthorized, "the token is not valid", {}});
}

} // namespace fanfare::auth
