#pragma once
// Google's token endpoint (RFC 7523): the request for an access token and its answer.

#include "fcm_account.hpp"
#include "push_answer.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace fanfare::providers {

/// Body of `POST {token_uri}`, `application/x-www-form-urlencoded`: an assertion that holds for an
/// hour. A secret.
[[nodiscard]] std::string fcm_grant_request(const FcmAccount& account, WallMillis now);

struct FcmGrant {
    std::string access_token; // a secret
    std::chrono::seconds lifetime{0};
};
struct FcmGrantFault {
    std::string reason;     // "invalid_grant", "HTTP 503", "the answer has no access_token" …
    bool transient = false; // to be tried again soon; else an operator must look
    std::optional<std::chrono::milliseconds> retry_after;
};
/// `expires_in` as a number or a text of one; if it is missing, five minutes.
[[nodiscard]] std::variant<FcmGrant, FcmGrantFault> read_fcm_grant(const PushAnswer& answer,
                                                                   WallMillis now);

} // namespace fanfare::providers
