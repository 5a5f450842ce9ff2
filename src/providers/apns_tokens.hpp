#pragma once
// Which credentials of the process share a provider token: those with the same key, name and team.

#include "apns_token.hpp"

#include <fanfare/providers/providers.hpp>

#include <map>
#include <memory>
#include <string>
#include <tuple>

namespace fanfare::providers {

/// One thread. A token lives as long as somebody has it.
class ApnsTokens::Shelf {
  public:
    /// Throws as ApnsToken and SigningKey do. `clock` outlives the token.
    [[nodiscard]] std::shared_ptr<ApnsToken> find(const ApnsOptions& options, const Clock& clock);

  private:
    using Identity = std::tuple<std::string, std::string, std::string>; // team, name, key
    std::map<Identity, std::weak_ptr<ApnsToken>> tokens_;
};

} // namespace fanfare::providers
