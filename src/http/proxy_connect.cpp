#include "proxy_connect.hpp"

#include <openssl/evp.h>

namespace fanfare::http {
namespace {

std::string base64(std::string_view text) {
    std::string out(4 * ((text.size() + 2) / 3) + 1, '\0');
    // NOLINTNEXTLINE: bytes
    const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()), // NOLINT
                                     static_cast<int>(text.size()));
    out.resize(static_cast<std::size_t>(size));
    return out;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

} // namespace

std::string proxy_connect_request(std::string_view authority, std::string_view user,
                                  std::string_view password) {
    std::string request = "CONNECT ";
    request.append(authority).append(" HTTP/1.1\r\nHost: ").append(authority).append("\r\n");
    if (!user.empty()) {
        const std::string pair = std::string{user} + ':' + std::string{password};
        request.append("Proxy-Authorization: Basic ").append(base64(pair)).append("\r\n");
    }
    return request.append("\r\n");
}

std::size_t ProxyConnectAnswer::feed(std::span<const std::byte> bytes) {
    std::size_t taken = 0;
    while (taken < bytes.size() && !open_ && failed_.empty()) {
        head_.push_back(static_cast<char>(bytes[taken++]));
        if (head_.ends_with("\r\n\r\n")) {
            read_head();
            head_.clear(); // an interim answer (1xx) is followed by another one
        } else if (head_.size() == bytes_max) {
            failed_ = "the proxy's answer is too large";
        }
    }
    return taken;
}

void ProxyConnectAnswer::read_head() {
    // HTTP/1.x SP 3DIGIT
    const std::string_view head = head_;
    if (head.size() < 13 || !head.starts_with("HTTP/1.") || !is_digit(head[7]) || head[8] != ' ' ||
        !is_digit(head[9]) || !is_digit(head[10]) || !is_digit(head[11]) || is_digit(head[12])) {
        failed_ = "the proxy does not answer as HTTP";
        return;
    }
    if (head[9] == '1') return;
    open_ = head[9] == '2';
    if (!open_) failed_ = "the proxy refused: status " + std::string{head.substr(9, 3)};
}

} // namespace fanfare::http
