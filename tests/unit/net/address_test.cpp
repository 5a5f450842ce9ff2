#include <fanfare/net/address.hpp>

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string>

using fanfare::net::is_public_address;

namespace {

bool is_public(const std::string& text) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1)
        return is_public_address(reinterpret_cast<const sockaddr&>(v4)); // NOLINT
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    REQUIRE(::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1);
    return is_public_address(reinterpret_cast<const sockaddr&>(v6)); // NOLINT
}

} // namespace

TEST_CASE("address: public ones", "[net][address]") {
    const char* const text =
        GENERATE("1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
                 "126.255.255.255", "128.0.0.1", "169.253.0.1", "172.15.255.255", "172.32.0.0",
                 "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
                 "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8",
                 "64:ff9b::808:808", "2002:808:808::1", "2001:200::1", "3fff:1000::1");
    CAPTURE(text);
    CHECK(is_public(text));
}

TEST_CASE("address: those that users must not reach through us", "[net][address]") {
    const char* const text =
        GENERATE("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1",
                 "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
                 "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1",
                 "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
                 "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1",
                 "::ffff:127.0.0.1", "::ffff:10.1.1.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1",
                 "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1", "2001::1", "2001:db8::1",
                 "2002:a00:1::1", "2002:7f00:1::", "3fff::1", "4000::1");
    CAPTURE(text);
    CHECK_FALSE(is_public(text));
}

TEST_CASE("address: what is no IP address is not public", "[net][address]") {
    sockaddr local{};
    local.sa_family = AF_UNIX;
    CHECK_FALSE(is_public_address(local));
}
