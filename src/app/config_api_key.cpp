#include "config_api_key.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/ids.hpp>

#include <string_view>

namespace fanfare::app {
namespace {

/// Letters and digits only: a double click takes all of a key, and no shell minds it.
std::string random_alphanumeric(std::size_t characters) {
    constexpr std::string_view alphabet =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    constexpr unsigned char fair = 256 / alphabet.size() * alphabet.size(); // 248
    std::string text;
    while (text.size() < characters) {
        unsigned char byte = 0;
        random_bytes(&byte, 1);
        // What is above would make the first characters of the alphabet likelier.
        if (byte < fair) text += alphabet[byte % alphabet.size()];
    }
    return text;
}

} // namespace

ApiKey make_api_key(bool test) {
    // 43 characters of 62 hold 256.03 bits.
    ApiKey key;
    key.text =
        (test ? "sk_test_" : "sk_live_") + random_alphanumeric(8) + "_" + random_alphanumeric(43);
    key.hash_line = "hash: \"sha256:" + to_hex(as_byte_view(sha256(key.text))) + "\"";
    return key;
}

} // namespace fanfare::app
