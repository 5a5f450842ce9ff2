#include "base64_lenient.hpp"

#include "openssl_ptr.hpp"

#include <fanfare/base/bytes.hpp>

namespace fanfare::providers {

std::optional<std::string> from_base64_lenient(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n";
    while (!text.empty() && blanks.find(text.front()) != blanks.npos) text.remove_prefix(1);
    while (!text.empty() && blanks.find(text.back()) != blanks.npos) text.remove_suffix(1);
    if (text.size() % 4 == 0) { // padding has its place only there, and is two characters at most
        if (text.ends_with('=')) text.remove_suffix(1);
        if (text.ends_with('=')) text.remove_suffix(1);
    }
    std::string url{text};
    const Cleanse forget{url};
    for (char& c : url) {
        if (c == '+') c = '-';
        if (c == '/') c = '_';
    }
    return from_base64url(url);
}

} // namespace fanfare::providers
