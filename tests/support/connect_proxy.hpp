#pragma once
// An HTTP proxy that knows CONNECT only, on a thread of its own and a free port of the loopback.

#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace fanfare::test {

class ConnectProxy {
  public:
    /// `answer`: what each CONNECT gets. If its status is 2xx the first connection is then joined
    /// with the loopback's `target`.
    ConnectProxy(std::string answer, std::uint16_t target);
    ~ConnectProxy();
    ConnectProxy(const ConnectProxy&) = delete;
    ConnectProxy& operator=(const ConnectProxy&) = delete;
    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// The newest request's head.
    [[nodiscard]] std::string head();

  private:
    void run();
    void serve(int client);
    void join(int client, int origin) const;

    const std::string answer_;
    const std::uint16_t target_;
    std::uint16_t port_ = 0;
    int listener_;
    int stop_fd_;
    std::mutex mutex_;
    std::string head_;
    std::thread thread_;
};

} // namespace fanfare::test
