#include "resolve.hpp"

#include <fanfare/net/blocking_thread.hpp>

#include <cstring>
#include <memory>
#include <netdb.h>
#include <utility>

namespace fanfare::http {
namespace {

SocketAddresses look_up(const std::string& host, std::uint16_t port, int flags,
                        std::string& error) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int why = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    SocketAddresses addresses;
    if (why != 0) {
        error = ::gai_strerror(why);
        return addresses;
    }
    constexpr std::size_t addresses_max = 32;
    for (const addrinfo* each = found; each != nullptr && addresses.size() < addresses_max;
         each = each->ai_next) {
        SocketAddress& address = addresses.emplace_back();
        std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
        address.size = each->ai_addrlen;
    }
    ::freeaddrinfo(found);
    return addresses;
}

class LookUp final : public net::BlockingTask {
  public:
    LookUp(net::Reactor& reactor, net::Handle handler, std::string host, std::uint16_t port)
        : reactor_(reactor), handler_(handler), host_(std::move(host)), port_(port) {}
    void run() override { addresses_ = look_up(host_, port_, AI_ADDRCONFIG, error_); }
    void done() override {
        net::Owned* const owned = reactor_.find(handler_);
        if (owned == nullptr) return;
        static_cast<ResolveHandler*>(owned)->on_resolved(std::move(addresses_), error_);
    }

  private:
    net::Reactor& reactor_;
    const net::Handle handler_;
    const std::string host_;
    const std::uint16_t port_;
    SocketAddresses addresses_;
    std::string error_;
};

} // namespace

SocketAddresses parse_address(const std::string& host, std::uint16_t port) {
    std::string ignored;
    return look_up(host, port, AI_NUMERICHOST, ignored);
}

void resolve(net::BlockingThread& thread, net::Handle handler, const std::string& host,
             std::uint16_t port) {
    thread.post(std::make_unique<LookUp>(*net::Reactor::current(), handler, host, port));
}

} // namespace fanfare::http
