#pragma once
// A Google service account: who we are, and the key that proves it.

#include "jose.hpp"

#include <string>
#include <string_view>

namespace fanfare::providers {

struct FcmAccount {
    std::string project_id;
    std::string client_email;
    std::string private_key_id; // empty: none
    std::string token_uri;      // https
    SigningKey key;
};

/// `json`: the text as Google gives it. Throws std::runtime_error with one sentence that begins
/// with `name`, what operators call the file, and names the member that is wrong; never a value of
/// it.
[[nodiscard]] FcmAccount read_fcm_account(std::string_view json, std::string_view name);

} // namespace fanfare::providers
