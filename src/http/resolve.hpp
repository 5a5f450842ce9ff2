#pragma once
// Name to addresses, on a thread that may block.

#include <fanfare/net/reactor.hpp>

#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace fanfare::net {
class BlockingThread;
}

namespace fanfare::http {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    [[nodiscard]] const sockaddr& get() const noexcept {
        return reinterpret_cast<const sockaddr&>(storage); // NOLINT: what the kernel wants
    }
};
using SocketAddresses = std::vector<SocketAddress>;

/// Who asked; a thing that its reactor owns.
class ResolveHandler : public net::Owned {
  public:
    /// Empty: `error` says why.
    virtual void on_resolved(SocketAddresses addresses, const std::string& error) = 0;
};

/// `host` is an address: told at once, no thread is needed. Otherwise empty.
[[nodiscard]] SocketAddresses parse_address(const std::string& host, std::uint16_t port);
/// Tells `handler`, if it still exists by then, on the reactor that this is called on.
void resolve(net::BlockingThread& thread, net::Handle handler, const std::string& host,
             std::uint16_t port);

} // namespace fanfare::http
