#pragma once
// Who is this: tokens of clients, verified.

#include <fanfare/auth/options.hpp>
#include <fanfare/base/clock.hpp>
#include <fanfare/session/authorizer.hpp>

#include <memory>
#include <string>

namespace fanfare::auth {

class JwtVerifier;

/// One per reactor; a reload makes new ones.
class Authority final : public session::Authorizer {
  public:
    /// Throws std::runtime_error with one sentence if an allowed algorithm has no fitting key.
    /// The clock must outlive the authority.
    Authority(const JwtOptions& options, const Clock& clock);
    ~Authority() override;

    /// Calls `done` before it returns. Every refusal has the same text; its cause is logged at
    /// debug, without the token.
    void authenticate(std::string token, Done done) override;

  private:
    std::unique_ptr<JwtVerifier> verifier_;
};

} // namespace fanfare::auth
