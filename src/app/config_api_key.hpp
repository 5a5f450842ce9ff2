#pragma once
// Making API keys.

#include <string>

namespace fanfare::app {

struct ApiKey {
    std::string text;      // "sk_live_<8 characters>_<43 characters>"; shown once
    std::string hash_line; // `hash: "sha256:<hex>"`, as api.keys wants it
};

/// A key whose last part holds 256 random bits. `test` makes it begin with sk_test_. The prefix
/// lets scanners find leaked keys, and the first part names a key without giving it away. Source:
/// facts on API keys in docs/operators.md, "Tokens and keys".
[[nodiscard]] ApiKey make_api_key(bool test);

} // namespace fanfare::app
