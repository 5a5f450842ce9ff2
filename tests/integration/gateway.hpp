#pragma once
// The real gateway in this process: its reactors, its sockets on free ports. Tests drive it over
// TCP and may look at its counters.

#include "support/http_client.hpp"
#include "support/sse_client.hpp"
#include "support/ws_client.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace fanfare::test {

/// Instrumented code is several times slower: tests that repeat a race do so less often.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool instrumented = true;
#else
inline constexpr bool instrumented = false;
#endif

/// A number from the environment, else the default.
[[nodiscard]] std::uint64_t setting(const char* name, std::uint64_t otherwise);
/// FANFARE_SEED, or a fresh one; tests print it.
[[nodiscard]] std::uint64_t test_seed();

/// What a test changes; YAML in flow style. Everything else is as in gateway.cpp.
struct GatewayOptions {
    std::string rooms = R"([{match: "*", subscribe: anyone, publish: subscriber, presence: true,
                             patterns: true, history: {size: 1000, ttl: 1h}}])";
    std::string send_queue = "1MiB";
    std::string drain = "1s";
};

class Gateway {
  public:
    static constexpr unsigned reactors = 2;
    static constexpr std::string_view api_key_line =
        "X-API-Key: ffk_integration_tests_only_0123456789\r\n";

    explicit Gateway(GatewayOptions options = {});
    /// Ends it; open connections are cut.
    ~Gateway();
    Gateway(const Gateway&) = delete;
    Gateway& operator=(const Gateway&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// Sum of a metric's series (without the prefix `fanfare_`).
    [[nodiscard]] double metric(std::string_view name) const;
    /// SIGHUP's effect, with other options. Returns when all reactors follow them.
    void reload(GatewayOptions options);
    /// SIGTERM's effect; returns when it would end the process.
    void drain();

    /// A room name that begins with `prefix` and whose home is `reactor`.
    [[nodiscard]] std::string room_on(unsigned reactor, std::string_view prefix = "room") const;
    [[nodiscard]] static unsigned home_of(std::string_view room);
    /// A client that `reactor` serves: connects until the kernel has given it one.
    [[nodiscard]] WsClient ws_on(unsigned reactor, const WsOptions& options = {}) const;
    /// A token for `user`.
    [[nodiscard]] std::string token(std::string_view user) const;

    /// An API call on a connection of its own.
    HttpResponse api(std::string_view method, std::string_view target,
                     std::string_view body = {}) const;
    /// Publishes `data` (JSON); returns the offset.
    std::uint64_t publish(std::string_view room, std::string_view data) const;
    struct Position {
        std::string epoch;
        std::uint64_t offset = 0;
    };
    [[nodiscard]] Position position(std::string_view room) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    std::uint16_t port_ = 0;
};

/// Polls until it holds. False: not within `patience`.
[[nodiscard]] bool eventually(const std::function<bool()>& holds);

/// Publishes in a thread of its own until it is stopped: numbered data into its rooms in turn, as
/// fast as answers come with 8 requests in flight, or `rate_max` a second.
class Publisher {
  public:
    Publisher(std::uint16_t port, std::vector<std::string> rooms, double rate_max = 0);
    ~Publisher();

    /// No more; returns when all answers are there. Throws what went wrong.
    void stop();
    [[nodiscard]] std::uint64_t published() const noexcept { return published_; }
    /// Newest offset that was answered for a room.
    [[nodiscard]] std::uint64_t newest(std::size_t room) const noexcept { return newest_[room]; }
    /// Per second since it began.
    [[nodiscard]] double rate() const;

  private:
    void run(std::uint16_t port);

    std::vector<std::string> rooms_;
    double rate_max_;
    std::vector<std::atomic<std::uint64_t>> newest_;
    std::atomic<std::uint64_t> published_{0};
    std::atomic<bool> stopping_{false};
    std::string failure_;
    TestClock::time_point began_ = TestClock::now();
    std::thread thread_;
};

/// Whether the offsets that one subscriber sees in one room follow each other. Keeps the first
/// fault; the test looks at it at the end (assertions of Catch belong to one thread).
class OffsetCheck {
  public:
    /// The next one must be `offset` + 1.
    void begin_after(std::uint64_t offset) noexcept { last_ = offset; }
    void take(std::uint64_t offset);
    [[nodiscard]] std::uint64_t last() const noexcept { return last_; }
    /// Empty: none.
    [[nodiscard]] const std::string& fault() const noexcept { return fault_; }

  private:
    std::uint64_t last_ = 0;
    std::string fault_;
};

} // namespace fanfare::test
