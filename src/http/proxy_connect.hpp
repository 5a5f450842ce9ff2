#pragma once
// The opening talk with an HTTP proxy: CONNECT and its answer (RFC 9110 §9.3.6). No I/O.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace fanfare::http {

/// `authority`: host:port of the origin. `user` empty: no credentials.
[[nodiscard]] std::string proxy_connect_request(std::string_view authority, std::string_view user,
                                                std::string_view password);

class ProxyConnectAnswer {
  public:
    static constexpr std::size_t bytes_max = 8'192;
    /// Takes bytes up to the end of the answer's head; returns how many. False from `open` and
    /// `failed`: more are needed.
    std::size_t feed(std::span<const std::byte> bytes);
    [[nodiscard]] bool open() const noexcept { return open_; }
    /// In words; empty: no failure.
    [[nodiscard]] const std::string& failed() const noexcept { return failed_; }

  private:
    void read_head();
    std::string head_;
    bool open_ = false;
    std::string failed_;
};

} // namespace fanfare::http
