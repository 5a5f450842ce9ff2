#include "network.hpp"

#include <arpa/inet.h>
#include <cctype>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <stdexcept>

namespace load {
namespace {

Address resolve_host(const std::string& host, const std::string& port, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
    if (error != 0) throw std::invalid_argument(host + ": " + ::gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{found, &::freeaddrinfo};
    Address address;
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.size = found->ai_addrlen;
    return address;
}

} // namespace

const sockaddr* Address::get() const {
    return reinterpret_cast<const sockaddr*>(&storage);
}

Server resolve(const std::string& url) {
    constexpr std::string_view scheme = "http://";
    if (!url.starts_with(scheme)) {
        throw std::invalid_argument("--url " + url + ": only http://host:port is understood");
    }
    std::string authority = url.substr(scheme.size());
    authority = authority.substr(0, authority.find('/'));
    // An IPv6 address has colons of its own; its port follows the bracket.
    const std::size_t bracket = authority.find(']');
    const std::size_t colon = authority.find(':', bracket == std::string::npos ? 0 : bracket);
    std::string host = authority.substr(0, colon);
    const std::string port = colon == std::string::npos ? "80" : authority.substr(colon + 1);
    if (bracket != std::string::npos) host = host.substr(1, bracket - 1);
    return {.host = authority, .address = resolve_host(host, port, 0)};
}

Address parse_source(const std::string& text) {
    return resolve_host(text, "0", AI_NUMERICHOST);
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || std::strchr("-._~", c) != nullptr) {
            out += c;
        } else {
            out += {'%', digits[byte >> 4], digits[byte & 15]};
        }
    }
    return out;
}

const Address* Network::next_source() {
    if (sources.empty()) return nullptr;
    return &sources[sources_used_++ % sources.size()];
}

} // namespace load
