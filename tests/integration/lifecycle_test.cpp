// What a service manager relies on: sockets that were opened for the process, and a stuck reactor
// that does not go unnoticed.

#include "config.hpp"
#include "gateway.hpp"
#include "server.hpp"
#include "support/loopback.hpp"

#include <fanfare/base/log.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/syscall.h>

namespace fanfare::test {
namespace {

using namespace std::chrono_literals;

struct Listening {
    int fd = -1; // whoever accepts from it owns it
    std::uint16_t port = 0;
};

/// As a service manager does it: blocking, and inherited by what is started.
Listening listen_on_loopback() {
    Listening made{::socket(AF_INET, SOCK_STREAM, 0)};
    LoopbackAddress address = loopback(AF_INET, 0);
    REQUIRE(::bind(made.fd, address.get(), address.size) == 0);
    REQUIRE(::listen(made.fd, 128) == 0);
    REQUIRE(::getsockname(made.fd, address.get(), &address.size) == 0);
    made.port = ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port); // NOLINT
    return made;
}

/// Some of the events of these tests are meant.
struct Silence {
    Silence() { log::configure({log::Level::off, log::Format::text}); }
    ~Silence() { log::configure({log::Level::error, log::Format::text}); }
    Silence(const Silence&) = delete;
    Silence& operator=(const Silence&) = delete;
};

/// A server that listens on nothing of its own.
struct Activated {
    Activated() { server.start(); }

    static app::Config config() {
        // The addresses are not this machine's: to bind them would fail.
        return app::parse_config(R"(
server: {listen: ["192.0.2.1:80"], ops_listen: ["192.0.2.1:81"], reactors: 2, drain: 1s}
clients: {anonymous: true}
rooms: [{match: "*", subscribe: anyone}]
)",
                                 "activated.yaml", {});
    }

    Silence silence;
    Listening clients = listen_on_loopback();
    Listening operations = listen_on_loopback();
    app::Server server{config(), {{clients.fd}, {operations.fd}}};
};

/// Stops one thread of this process in a signal handler, until it is released: a reactor that is
/// stuck, with nothing in the product to make it so.
class StuckThread {
  public:
    explicit StuckThread(const std::string& name) {
        held = true;
        arrived = false;
        struct sigaction action {};
        action.sa_handler = [](int) { // NOLINT: nothing here but lock-free atomics and nanosleep
            arrived = true;
            while (held) {
                const timespec moment{0, 1'000'000};
                ::nanosleep(&moment, nullptr);
            }
        };
        ::sigaction(SIGUSR1, &action, &before_);
        REQUIRE(::syscall(SYS_tgkill, ::getpid(), thread(name), SIGUSR1) == 0);
        REQUIRE(eventually([] { return arrived.load(); }));
    }
    ~StuckThread() { release(); }
    StuckThread(const StuckThread&) = delete;
    StuckThread& operator=(const StuckThread&) = delete;
    void release() {
        if (held.exchange(false)) ::sigaction(SIGUSR1, &before_, nullptr);
    }

  private:
    static int thread(const std::string& name) {
        for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
            std::string comm;
            std::getline(std::ifstream{task.path() / "comm"}, comm);
            if (comm == name) return std::stoi(task.path().filename().string());
        }
        throw std::runtime_error("no thread is called " + name);
    }

    static inline std::atomic<bool> held{false};
    static inline std::atomic<bool> arrived{false};
    struct sigaction before_ {};
};

} // namespace

TEST_CASE("inherited sockets: connections go to the reactors in turn", "[integration][lifecycle]") {
    Activated node;
    REQUIRE(node.server.addresses().size() == 1);
    CHECK(node.server.addresses().front().port == node.clients.port);
    std::vector<WsClient> clients;
    unsigned second = 0;
    for (int i = 0; i < 20; ++i) {
        clients.emplace_back(node.clients.port);
        second += clients.back().reactor();
    }
    CHECK(second == 10);
    // What was published on one reactor reaches both.
    for (WsClient& client : clients) client.request(R"("op":"subscribe","room":"all")");
    HttpClient operations{node.operations.port};
    CHECK(operations.request("GET", "/ready").status == 200);
    CHECK(HttpClient{node.clients.port}.request("GET", "/ready").status == 404);
}

TEST_CASE("inherited sockets: whoever waits in the queue is served by the next process",
          "[integration][lifecycle]") {
    const Silence silence;
    const Listening shared = listen_on_loopback(); // the service manager keeps it
    const auto serve = [&] {
        return std::make_unique<app::Server>(Activated::config(),
                                             app::ListenSockets{{::dup(shared.fd)}, {}});
    };
    // Operations go to the configured address, and that cannot be bound.
    CHECK_THROWS_WITH(serve(), Catch::Contains("192.0.2.1:81"));
    TestSocket early{shared.port}; // nobody accepts
    early.send("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n");
    app::Config config = Activated::config();
    config.ops_listen.clear();
    {
        app::Server server{config, {{::dup(shared.fd)}, {}}};
        server.start();
        std::string answer;
        CHECK(early.receive(answer) > 0);
        CHECK(answer.starts_with("HTTP/1.1 426"));
    }
    TestSocket between{shared.port};
    between.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    app::Server next{config, {{::dup(shared.fd)}, {}}};
    next.start();
    std::string answer;
    CHECK(between.receive(answer) > 0);
    CHECK(answer.starts_with("HTTP/1.1 200"));
    ::close(shared.fd);
}

TEST_CASE("a stuck reactor is noticed, makes /health fail, and may recover",
          "[integration][lifecycle]") {
    Activated node;
    constexpr auto limit = instrumented ? 2'000ms : 400ms;
    node.server.set_stuck_after(limit);
    const auto stuck = [&] {
        std::this_thread::sleep_for(limit / 8);
        return node.server.check_reactors();
    };
    HttpClient health{node.operations.port};
    CHECK(health.request("GET", "/health").status == 200);
    for (int i = 0; i < 12; ++i) CHECK(stuck() == 0);

    StuckThread second{"fanfare-1"};
    const auto begun = TestClock::now();
    REQUIRE(eventually([&] { return stuck() == 1; }));
    CHECK(TestClock::now() - begun > limit / 2);
    const HttpResponse failed = health.request("GET", "/health");
    CHECK(failed.status == 503);
    CHECK(failed.body.find("stuck") != std::string::npos);
    CHECK(health.request("GET", "/ready").status == 200); // it is restarted, not emptied
    second.release();
    REQUIRE(eventually([&] { return stuck() == 0; }));
    CHECK(health.request("GET", "/health").status == 200);
}

TEST_CASE("a drain ends although a reactor is stuck", "[integration][lifecycle]") {
    Activated node;
    node.server.set_stuck_after(400ms);
    // Two reactors take them in turn: one is of the reactor that cannot let it go.
    HttpClient first{node.clients.port};
    HttpClient other{node.clients.port};
    for (HttpClient* each : {&first, &other}) CHECK(each->request("GET", "/health").status == 404);
    StuckThread second{"fanfare-1"};
    bool asked = false;
    node.server.drain([&](std::chrono::milliseconds) {
        asked = true;
        return true; // the second signal
    });
    CHECK(asked);
}

} // namespace fanfare::test
