#include "apns_tokens.hpp"

#include <fanfare/base/bytes.hpp>

namespace fanfare::providers {

std::shared_ptr<ApnsToken> ApnsTokens::Shelf::find(const ApnsOptions& options, const Clock& clock) {
    // Of the key its hash is enough, and no secret.
    std::weak_ptr<ApnsToken>& known =
        tokens_[{options.team_id, options.key_id, sha256(options.key)}];
    if (std::shared_ptr<ApnsToken> token = known.lock()) return token;
    auto token = std::make_shared<ApnsToken>(SigningKey{JoseAlgorithm::es256, options.key, "key"},
                                             options.key_id, options.team_id, clock);
    known = token;
    return token;
}

ApnsTokens::ApnsTokens() : shelf_(std::make_unique<Shelf>()) {}
ApnsTokens::~ApnsTokens() = default;

} // namespace fanfare::providers
