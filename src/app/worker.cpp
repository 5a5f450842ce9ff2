#include "worker.hpp"

#include <fanfare/brokers/brokers.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <unistd.h>
#include <utility>

namespace fanfare::app {
namespace {

std::shared_ptr<const auth::ApiKeys> make_keys(const Config& config) {
    return std::make_shared<const auth::ApiKeys>(config.api.keys);
}

api::Options api_options(const Config& config) {
    api::Options options;
    options.body_bytes_max = config.api.body_bytes_max;
    options.batch_max = config.api.batch_max;
    options.item_bytes_max = config.session.message_bytes_max;
    options.demo_page = config.embedded_default;
    for (const PushApp& app : config.push_apps) options.push_apps.push_back(app.name);
    if (!config.inbox.pushes_to.empty()) options.channels = delivery::realtime | delivery::push;
    options.idempotency_window = config.idempotency.window;
    return options;
}

api::Status api_status(const Process& process, const Config& config) {
    api::Status status;
    status.node = config.node_name;
    status.not_healthy = [&process]() -> std::string {
        const std::size_t stuck = process.reactors_stuck.load(std::memory_order_relaxed);
        return stuck == 0 ? std::string{} : std::to_string(stuck) + " reactors are stuck";
    };
    status.not_ready = [&process]() -> std::string {
        if (process.draining.load(std::memory_order_relaxed)) return "draining";
        if (!process.started.load(std::memory_order_relaxed)) return "starting";
        const char* const fault = process.store != nullptr ? process.store->fault() : nullptr;
        if (fault != nullptr) return fault;
        return {};
    };
    return status;
}

/// A connection on its way from the reactor that accepted it to the one that serves it: a command
/// for its mailbox. Closed and no longer counted if it never arrives, because the process ends.
class Passage {
  public:
    Passage(http::Server& to, net::Admission& admission, int fd, net::Admission::Verdict verdict)
        : to_(&to), admission_(&admission), fd_(fd), verdict_(verdict) {}
    Passage(Passage&& from) noexcept
        : to_(from.to_), admission_(from.admission_), fd_(std::exchange(from.fd_, -1)),
          verdict_(from.verdict_) {}
    Passage& operator=(Passage&&) = delete;
    ~Passage() {
        if (fd_ < 0) return;
        ::close(fd_);
        admission_->leave();
    }
    void operator()() { to_->accept(std::exchange(fd_, -1), verdict_); }

  private:
    http::Server* to_;
    net::Admission* admission_;
    int fd_;
    net::Admission::Verdict verdict_;
};

/// A Host header that names this machine: what a page of another site, whose name was made to point
/// here (DNS rebinding), cannot send.
bool is_loopback_host(std::string_view host) {
    const std::size_t colon = host.rfind(':');
    const bool bracket = !host.empty() && host.front() == '[';
    if (colon != std::string_view::npos && (!bracket || host.find(']') < colon))
        host = host.substr(0, colon);
    std::string name{host};
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (name == "localhost" || name == "[::1]" || name.ends_with(".localhost")) return true;
    // 127.0.0.0/8 as a literal address, not as the beginning of a name.
    return name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string::npos;
}

} // namespace

Settings settings_of(const Config& config) {
    Settings settings;
    settings.rules = std::make_shared<const room::Rules>(config.rooms);
    settings.room = config.room;
    settings.session = std::make_shared<const session::Options>(config.session);
    settings.inbox = config.inbox;
    settings.keys = make_keys(config);
    settings.jwt = config.jwt;
    settings.http = config.http;
    settings.api = api_options(config);
    return settings;
}

Worker::Worker(net::Reactor& reactor, Process& process, const Config& config,
               const Settings& settings, room::IdempotencyLog& idempotency, unsigned reactors)
    : reactor_(reactor), process_(process), loopback_only_(config.embedded_default),
      authority_(std::make_unique<auth::Authority>(settings.jwt, reactor.clock())),
      rooms_(reactor, protocols::make_encoders(config.session.deflate_min), settings.rules,
             settings.room, reactors),
      broker_(brokers::make_local(rooms_)),
      sessions_(rooms_, *authority_, idempotency, settings.session),
      inboxes_(process.store != nullptr ? std::make_unique<delivery::Inboxes>(
                                              sessions_, process.store->inbox(), settings.inbox)
                                        : nullptr),
      json_(protocols::make_fanfare_json()), websockets_(sessions_, {json_.get()}), sse_(sessions_),
      api_(sessions_, idempotency, settings.keys, process.metrics, api_status(process, config),
           settings.api, inboxes_.get(),
           process.store != nullptr ? &process.store->devices() : nullptr,
           process.store != nullptr ? &process.store->dead_letters() : nullptr),
      clients_(process.metrics), operations_(process.metrics),
      client_server_(reactor, clients_, process.admission, settings.http),
      operations_server_(reactor, operations_, process.admission, settings.http) {
    add_client_routes(config);
    if (!process.own_operations)
        api_.add_operations(clients_, false);
    else
        api_.add_operations(operations_, true);
}

Worker::~Worker() = default;

void Worker::add_client_routes(const Config& /*config*/) {
    const auto add = [this](http::Method method, const char* pattern, std::size_t body_max,
                            std::function<void(http::Exchange&)> handler) {
        http::Route route;
        route.method = method;
        route.pattern = pattern;
        route.body_bytes_max = body_max;
        route.handler = std::move(handler);
        clients_.add(std::move(route));
    };
    add(http::Method::get, "/ws", 0, [this](http::Exchange& e) { websockets_.handle(e); });
    add(http::Method::get, "/sse", 0, [this](http::Exchange& e) { sse_.open(e); });
    add(http::Method::options, "/sse", 0, [this](http::Exchange& e) { sse_.preflight(e); });
    add(http::Method::post, "/sse/ack", 4'096, [this](http::Exchange& e) { sse_.acknowledge(e); });
    add(http::Method::options, "/sse/ack", 0, [this](http::Exchange& e) { sse_.preflight(e); });
    api_.add_routes(clients_);
    clients_.set_gate([this](http::Exchange& exchange) { return gate(exchange); });
}

bool Worker::gate(http::Exchange& exchange) {
    const http::RequestHead& head = exchange.head();
    if (loopback_only_ && !is_loopback_host(head[http::Header::host])) {
        exchange.respond(http::problem(
            Code::forbidden, "without a configuration only requests to this machine are served"));
        return true;
    }
    const bool draining = process_.draining.load(std::memory_order_relaxed);
    if (!draining && !exchange.shed()) return false;
    constexpr std::array<std::string_view, 3> always{"/health", "/ready", "/metrics"};
    if (std::find(always.begin(), always.end(), head.path) != always.end()) return false;
    if (head.path == "/sse" && head.method == http::Method::get) {
        sse_.turn_away(exchange);
        return true;
    }
    // Backends may finish their work while clients are sent away.
    if (!exchange.shed() && head.path != "/ws") return false;
    const char* const why = draining ? "the gateway is shutting down" : "too many connections";
    if (head.path == "/ws") {
        websockets_.turn_away(exchange, why);
        return true;
    }
    http::Response response = http::problem(Code::unavailable, why);
    response.close = true;
    exchange.respond(response);
    return true;
}

void Worker::connect(const std::vector<std::unique_ptr<Worker>>& all) {
    std::vector<room::Rooms*> rooms;
    std::vector<session::Sessions*> sessions;
    std::vector<delivery::Inboxes*> inboxes;
    for (const auto& worker : all) {
        if (worker->inboxes_) inboxes.push_back(worker->inboxes_.get());
        rooms.push_back(&worker->rooms_);
        sessions.push_back(&worker->sessions_);
    }
    rooms_.connect(std::move(rooms), *broker_,
                   process_.store != nullptr ? &process_.store->log() : nullptr);
    sessions_.connect(std::move(sessions));
    if (inboxes_) inboxes_->connect(std::move(inboxes));
}

void Worker::listen(std::vector<net::ListenAddress>& addresses, bool operations) {
    http::Server& server = operations ? operations_server_ : client_server_;
    for (net::ListenAddress& address : addresses) {
        auto acceptor = std::make_unique<net::Acceptor>(
            reactor_, process_.admission,
            [&server](int fd, net::Admission::Verdict verdict) { server.accept(fd, verdict); });
        if (const error_code why = acceptor->listen(address))
            throw std::runtime_error("cannot listen on " + address.host + ":" +
                                     std::to_string(address.port) + ": " + why.message());
        acceptors_.push_back(std::move(acceptor));
    }
}

net::ListenAddress Worker::adopt(int fd, net::Acceptor::OnAccept on_accept) {
    const Result<net::ListenAddress> address = net::listening_address(fd);
    auto acceptor =
        std::make_unique<net::Acceptor>(reactor_, process_.admission, std::move(on_accept));
    error_code why = acceptor->adopt(fd);
    if (!address) why = address.error();
    if (why) throw std::runtime_error("cannot accept from an inherited socket: " + why.message());
    acceptors_.push_back(std::move(acceptor));
    return *address;
}

// Polled by all reactors, one socket would wake all of them for each connection: EPOLLEXCLUSIVE has
// no effect through a poll set in a poll set, and where it has one the same reactor always wins.
// Handed out in turn, every reactor gets its share for one post per connection
// (docs/decisions/0008-inherited-sockets.md).
net::ListenAddress Worker::accept_for_all(int fd, const std::vector<std::unique_ptr<Worker>>& all) {
    return adopt(fd, [this, &all, next = std::size_t{reactor_.index()}](
                         int accepted, net::Admission::Verdict verdict) mutable {
        Worker& worker = *all[next++ % all.size()];
        worker.reactor_.post(Passage{worker.client_server_, process_.admission, accepted, verdict});
    });
}

net::ListenAddress Worker::accept_operations(int fd) {
    return adopt(fd, [this](int accepted, net::Admission::Verdict verdict) {
        operations_server_.accept(accepted, verdict);
    });
}

void Worker::apply(const Settings& settings) {
    // Sessions ask the authority in the calls below, and connections that wait for an answer hold
    // none of it: the old one goes at the end.
    auto authority = std::make_unique<auth::Authority>(settings.jwt, reactor_.clock());
    rooms_.set_rules(settings.rules);
    rooms_.set_options(settings.room);
    api_options_ = settings.api;
    api_.reload(settings.keys, api_options_);
    client_server_.set_options(settings.http);
    operations_server_.set_options(settings.http);
    if (inboxes_) inboxes_->reload(settings.inbox);
    sessions_.reload(settings.session, *authority);
    authority_ = std::move(authority);
}

void Worker::use_keys(const std::shared_ptr<const auth::ApiKeys>& keys) {
    api_.reload(keys, api_options_);
}

void Worker::drain(std::chrono::milliseconds window) {
    client_server_.drain();
    operations_server_.drain();
    sessions_.drain(window);
}

void Worker::stop_listening() {
    acceptors_.clear();
}

} // namespace fanfare::app
