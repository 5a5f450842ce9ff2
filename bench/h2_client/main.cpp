// Sends the same request again and again over the gateway's HTTP/2 client, as h2load does, and
// tells how many were answered. What it costs is measured from outside (ratio.py), as for h2load.

#include <fanfare/base/log.hpp>
#include <fanfare/http/h2_client.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace fanfare;

struct Plan {
    http::H2Options client;
    std::uint64_t requests = 100'000;
    std::string path = "/";
    std::vector<std::string> headers; // "name: value"
    std::string data_file;
    std::size_t seconds_max = 120;
};

class Load final : http::H2PoolOwner, http::H2Caller, net::TimerWheel::Timer {
  public:
    Load(net::Reactor& reactor, net::BlockingThread& resolver, const Plan& plan, std::string body)
        : reactor_(reactor), plan_(plan), body_(std::move(body)),
          pool_(reactor, resolver, *this, plan.client) {
        for (const std::string& line : plan_.headers) {
            const std::size_t colon = line.find(':');
            const std::string_view all = line;
            headers_.push_back({all.substr(0, colon), all.substr(colon + 2)});
        }
        reactor.timers().set(*this, std::chrono::seconds{plan.seconds_max});
    }

    void fill() {
        http::H2Request request;
        request.method = body_.empty() ? "GET" : "POST";
        request.path = plan_.path;
        request.headers = headers_;
        request.body = body_;
        while (sent_ < plan_.requests && pool_.room() != 0 && pool_.send(request, *this, sent_))
            ++sent_;
    }
    [[nodiscard]] bool complete() const { return answered_ == plan_.requests; }
    [[nodiscard]] std::string report() const {
        const auto of = [&](Kind kind) { return kinds_.at(static_cast<std::size_t>(kind)); };
        return fmt::format(R"({{"requests":{},"good":{},"other":{},"refused":{},"lost":{},)"
                           R"("unreachable":{},"connections":{}}})",
                           plan_.requests, good_, of(Kind::response) - good_, of(Kind::refused),
                           of(Kind::lost), of(Kind::unreachable), pool_.connections());
    }

  private:
    using Kind = http::H2Answer::Kind;
    void on_answer(std::uint64_t /*tag*/, const http::H2Answer& answer) override {
        ++answered_;
        ++kinds_.at(static_cast<std::size_t>(answer.kind));
        if (answer.status >= 200 && answer.status < 300) ++good_;
        if (answered_ == plan_.requests)
            reactor_.stop();
        else if (answer.kind != Kind::unreachable)
            fill();
    }
    void on_room() override { fill(); }
    void on_timer() override { reactor_.stop(); }

    net::Reactor& reactor_;
    const Plan& plan_;
    const std::string body_;
    std::vector<http::H2Header> headers_;
    http::H2Pool pool_;
    std::uint64_t sent_ = 0;
    std::uint64_t answered_ = 0;
    std::uint64_t good_ = 0;
    std::array<std::uint64_t, 4> kinds_{};
};

int run(const Plan& plan) {
    std::string body;
    if (!plan.data_file.empty()) {
        std::ifstream file{plan.data_file, std::ios::binary};
        body.assign(std::istreambuf_iterator<char>{file}, {});
    }
    Metrics metrics;
    net::Reactor reactor{0, system_clock(), metrics};
    net::BlockingThread resolver{"resolver"};
    bool complete = false;
    {
        const net::Reactor::Scope scope{reactor};
        Load load{reactor, resolver, plan, std::move(body)};
        load.fill();
        reactor.run();
        fmt::print("{}\n", load.report());
        complete = load.complete();
    }
    return complete ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    Plan plan;
    plan.client.name = "bench";
    plan.client.streams_max = 100;
    plan.client.connections_max = 1;
    plan.client.waiting_max = 1;
    bool plain = false;
    CLI::App app{"Requests over the gateway's HTTP/2 client, as fast as the server answers."};
    app.add_option("--host", plan.client.host)->required();
    app.add_option("--port", plan.client.port)->required();
    app.add_flag("--plain", plain, "HTTP/2 without TLS");
    app.add_option("--ca-file", plan.client.ca_file);
    app.add_option("--requests", plan.requests);
    app.add_option("--connections", plan.client.connections_max);
    app.add_option("--streams", plan.client.streams_max, "at a time, of each connection");
    app.add_option("--path", plan.path);
    app.add_option("--header", plan.headers, "\"name: value\"; may be repeated");
    app.add_option("--data", plan.data_file, "POST what is in this file");
    app.add_option("--seconds-max", plan.seconds_max, "give up after this time");
    CLI11_PARSE(app, argc, argv);
    plan.client.tls = !plain;
    try {
        return run(plan);
    } catch (const std::exception& why) {
        fmt::print(stderr, "fanfare-h2-client: {}\n", why.what());
        return 1;
    }
}
