#include "gateway.hpp"

#include "config.hpp"
#include "server.hpp"
#include "support/json_text.hpp"

#include <fanfare/auth/token_issuer.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/base/clock.hpp>

#include <cstdlib>
#include <random>
#include <stdexcept>

namespace fanfare::test {
namespace {

constexpr std::string_view key = "ffk_integration_tests_only_0123456789";

std::string yaml(const GatewayOptions& options) {
    return R"(
node: {name: integration}
server: {listen: ["127.0.0.1:0"], reactors: 2, drain: )" +
           options.drain + R"(}
api: {keys: [{name: tests, hash: "sha256:)" +
           to_hex(as_byte_view(sha256(key))) + R"(", scopes: [publish, read, notify, admin]}]}
auth: {jwt: {algorithms: [HS256], secret: "integration-tests-only-32-bytes-or-more"}}
clients: {anonymous: true, rate: {messages: 1000000, per: 1s}, presence_linger: 100ms, send_queue: )" +
           options.send_queue + R"(}
rooms: )" + options.rooms +
           R"(
log: {level: error}
)";
}

app::Config parse(const GatewayOptions& options) {
    return app::parse_config(yaml(options), "integration.yaml", {});
}

} // namespace

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nobody writes it
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::uint64_t test_seed() {
    return setting("FANFARE_SEED", std::random_device{}());
}

struct Gateway::Impl {
    explicit Impl(const GatewayOptions& options) : config(parse(options)), server(config) {}
    app::Config config;
    app::Server server;
};

Gateway::Gateway(GatewayOptions options) {
    log::configure({log::Level::error, log::Format::text});
    impl_ = std::make_unique<Impl>(options);
    port_ = impl_->server.addresses().front().port;
    impl_->server.start();
}

Gateway::~Gateway() = default;

double Gateway::metric(std::string_view name) const {
    return impl_->server.metrics().sum(name);
}

void Gateway::reload(GatewayOptions options) {
    impl_->config = parse(options);
    impl_->server.reload([this] { return impl_->config; });
    // What is posted later is run later: when this answers, the new rules hold everywhere.
    for (unsigned reactor = 0; reactor < reactors; ++reactor)
        ws_on(reactor).request(R"("op":"ping")");
}

void Gateway::drain() {
    impl_->server.drain([](std::chrono::milliseconds pause) {
        std::this_thread::sleep_for(pause);
        return false;
    });
}

unsigned Gateway::home_of(std::string_view room) {
    return static_cast<unsigned>((hash_bytes(room) >> 32) % reactors);
}

std::string Gateway::room_on(unsigned reactor, std::string_view prefix) const {
    for (int n = 0;; ++n) {
        std::string name = std::string{prefix} + ':' + std::to_string(n);
        if (home_of(name) == reactor) return name;
    }
}

WsClient Gateway::ws_on(unsigned reactor, const WsOptions& options) const {
    // The kernel spreads connections at random: a thousand on one of few reactors is a fault.
    for (int tries = 0; tries < 1'000; ++tries) {
        WsClient client{port_, options};
        if (client.reactor() == reactor) return client;
    }
    throw std::runtime_error("no connection came to the reactor that was asked for");
}

std::string Gateway::token(std::string_view user) const {
    auth::Claims claims;
    claims.sub = user;
    claims.issued_at = system_clock().wall() / 1000;
    claims.expires = claims.issued_at + 3600;
    return auth::issue_token(impl_->config.jwt, claims).value();
}

HttpResponse Gateway::api(std::string_view method, std::string_view target,
                          std::string_view body) const {
    HttpClient client{port_};
    return client.request(method, target, body, api_key_line);
}

std::uint64_t Gateway::publish(std::string_view room, std::string_view data) const {
    const HttpResponse response =
        api("POST", "/api/v1/publish",
            "{\"room\":\"" + std::string{room} + "\",\"data\":" + std::string{data} + '}');
    if (response.status != 200) throw std::runtime_error("publish: " + response.body);
    return json_number(response.body, "offset").value();
}

Gateway::Position Gateway::position(std::string_view room) const {
    const HttpResponse response = api("GET", "/api/v1/rooms/" + std::string{room});
    if (response.status != 200) throw std::runtime_error("position: " + response.body);
    return {std::string{json_string(response.body, "epoch")},
            json_number(response.body, "offset").value()};
}

bool eventually(const std::function<bool()>& holds) {
    const auto end = TestClock::now() + patience;
    while (!holds()) {
        if (TestClock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return true;
}

// --- Publisher ---

Publisher::Publisher(std::uint16_t port, std::vector<std::string> rooms, double rate_max)
    : rooms_(std::move(rooms)), rate_max_(rate_max), newest_(rooms_.size()), thread_([this, port] {
          try {
              run(port);
          } catch (const std::exception& error) {
              failure_ = error.what();
          }
      }) {}

Publisher::~Publisher() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
}

void Publisher::stop() {
    stopping_ = true;
    thread_.join();
    if (!failure_.empty()) throw std::runtime_error("publisher: " + failure_);
}

void Publisher::run(std::uint16_t port) {
    HttpClient client{port};
    std::uint64_t sent = 0;
    const auto send = [&] {
        const std::string& room = rooms_[sent % rooms_.size()];
        client.send("POST", "/api/v1/publish",
                    R"({"room":")" + room + R"(","data":)" + std::to_string(++sent) + '}',
                    Gateway::api_key_line);
    };
    const std::uint64_t in_flight = rate_max_ == 0 ? 8 : 1;
    while (sent < in_flight) send();
    for (std::uint64_t received = 0; received < sent; ++received) {
        const HttpResponse response = client.receive();
        if (response.status != 200) throw std::runtime_error(response.body);
        newest_[received % rooms_.size()] = json_number(response.body, "offset").value();
        ++published_;
        if (rate_max_ != 0)
            std::this_thread::sleep_until(
                began_ + std::chrono::duration_cast<TestClock::duration>(
                             std::chrono::duration<double>(static_cast<double>(sent) / rate_max_)));
        if (!stopping_) send();
    }
}

double Publisher::rate() const {
    const std::chrono::duration<double> elapsed = TestClock::now() - began_;
    return static_cast<double>(published_) / elapsed.count();
}

// --- OffsetCheck ---

void OffsetCheck::take(std::uint64_t offset) {
    if (offset != last_ + 1 && fault_.empty())
        fault_ = (offset <= last_ ? "duplicate: " : "hole: ") + std::to_string(offset) +
                 " came after " + std::to_string(last_);
    last_ = offset;
}

} // namespace fanfare::test
