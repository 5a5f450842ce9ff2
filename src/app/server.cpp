#include "server.hpp"

#include <fanfare/base/log.hpp>
#include <fanfare/base/process_metrics.hpp>
#include <fanfare/stores/stores.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <future>
#include <malloc.h>
#include <thread>

namespace fanfare::app {
namespace {

unsigned reactor_count(const Config& config) {
    if (config.reactors != 0) return static_cast<unsigned>(config.reactors);
    return std::clamp(std::thread::hardware_concurrency(), 1U, 256U);
}

/// Descriptors that are not a client's: each reactor has its poll sets, mailbox and timer, and two
/// for each address it listens on; the rest is for files and logs.
std::size_t own_descriptors(const Config& config, const ListenSockets& sockets) {
    return 64 + reactor_count(config) * (6 + 2 * config.listen.size()) +
           2 * config.ops_listen.size() + 2 * (sockets.clients.size() + sockets.operations.size());
}

std::vector<net::ListenAddress> parse_addresses(const std::vector<std::string>& texts) {
    std::vector<net::ListenAddress> addresses;
    for (const std::string& text : texts) {
        const auto address = net::parse_listen_address(text);
        if (!address) throw std::runtime_error("cannot listen on " + text + ": not an address");
        addresses.push_back(*address);
    }
    return addresses;
}

/// API keys that were accepted and still are, with the rights that both give.
std::vector<auth::ApiKeyOptions> keys_in_both(const Config& before, const Config& after) {
    std::vector<auth::ApiKeyOptions> keys;
    for (const auth::ApiKeyOptions& old : before.api.keys)
        for (const auth::ApiKeyOptions& fresh : after.api.keys)
            if (old.sha256 == fresh.sha256)
                keys.push_back({fresh.name, fresh.sha256,
                                static_cast<std::uint8_t>(old.scopes & fresh.scopes)});
    return keys;
}

/// Which credentials there are is fixed; how fast they are used is not.
void keep_credentials(const PushApp& running, PushApp& fresh) {
    const std::array<std::size_t, 3> rates{fresh.apns.rate, fresh.fcm.rate, fresh.webpush.rate};
    fresh = running;
    fresh.apns.rate = rates[0];
    fresh.fcm.rate = rates[1];
    fresh.webpush.rate = rates[2];
}

void keep_apps(const std::vector<PushApp>& running, std::vector<PushApp>& fresh) {
    std::vector<PushApp> kept = running;
    for (PushApp& app : kept)
        for (PushApp& other : fresh)
            if (other.name == app.name) {
                keep_credentials(app, other);
                app = other;
            }
    fresh = std::move(kept);
}

/// What needs a restart stays as it was, everywhere, and the next reload tells again.
void keep_fixed(const Config& running, Config& fresh) {
    fresh.node_name = running.node_name;
    fresh.listen = running.listen;
    fresh.ops_listen = running.ops_listen;
    fresh.reactors = running.reactors;
    fresh.max_connections = running.max_connections;
    fresh.tls = running.tls;
    fresh.api.body_bytes_max = running.api.body_bytes_max;
    fresh.session.node = running.session.node;
    fresh.session.deflate_min = running.session.deflate_min;
    fresh.room.rooms_max = running.room.rooms_max;
    fresh.idempotency = running.idempotency;
    fresh.store = running.store;
    keep_credentials(running.push_app, fresh.push_app);
    keep_apps(running.push_apps, fresh.push_apps);
    fresh.push_proxy = running.push_proxy;
    fresh.inbox.pushes_to = running.inbox.pushes_to;
}

} // namespace

Server::Server(Config config, ListenSockets sockets)
    : config_(std::move(config)),
      admission_(config_.max_connections, own_descriptors(config_, sockets)),
      reactors_(reactor_count(config_), system_clock(), metrics_), watch_(reactors_),
      store_(config_, reactors_, metrics_), process_{metrics_, admission_, store_.get(),
                                                     !config_.ops_listen.empty() ||
                                                         !sockets.operations.empty()} {
    register_metrics();
    const Settings settings = settings_of(config_);
    const auto count = static_cast<unsigned>(reactors_.size());
    for (unsigned i = 0; i < count; ++i)
        workers_.push_back(std::make_unique<Worker>(reactors_[i], process_, config_, settings,
                                                    store_.idempotency(), count));
    for (auto& worker : workers_) worker->connect(workers_);
    if (store_.get() != nullptr) {
        follow_inboxes();
        start_sends();
        if (!config_.inbox.pushes_to.empty()) start_push();
    }
    listen(sockets);
}

void Server::follow_inboxes() {
    delivery::InboxLog& log = store_.get()->inbox();
    log.set_options(config_.inbox);
    // What expires is found by the store, on its own thread. That outlives the workers: mail for a
    // reactor that has ended is not read, and so only the reactor is touched from there.
    log.on_changes([&worker = *workers_.front(),
                    &reactor = reactors_[0]](std::vector<delivery::StatusChange> changes) {
        reactor.post(std::function<void()>{
            [&worker, changes = std::move(changes)] { worker.announce(changes); }});
    });
}

void Server::start_sends() {
    sends_ = std::make_unique<delivery::SendExpander>(
        reactors_[0], store_.get()->sends(),
        [&worker = *workers_.front()](delivery::Order order,
                                      std::function<void(const delivery::Placed&)> done) {
            worker.place(std::move(order), std::move(done));
        });
    sends_->start();
}

void Server::start_push() {
    push_ = std::make_unique<ServerPush>(
        config_, reactors_[0], store_.get()->push(),
        [&worker = *workers_.front()](const std::vector<delivery::StatusChange>& changes) {
            worker.announce(changes);
        });
    for (auto& worker : workers_)
        worker->on_changes(
            [this](const std::vector<delivery::StatusChange>& changes) { push_->moved(changes); });
    for (auto& worker : workers_)
        worker->on_devices_gone([this, &reactor = worker->reactor()](auto gone, auto done) {
            push_->forget_devices(std::move(gone), reactor, std::move(done));
        });
}

void Server::listen(const ListenSockets& sockets) {
    for (std::size_t i = 0; i < sockets.clients.size(); ++i)
        addresses_.push_back(
            workers_[i % workers_.size()]->accept_for_all(sockets.clients[i], workers_));
    for (const int fd : sockets.operations)
        operations_.push_back(workers_.front()->accept_operations(fd));
    if (sockets.clients.empty()) {
        addresses_ = parse_addresses(config_.listen);
        for (auto& worker : workers_) worker->listen(addresses_, false);
    }
    if (sockets.operations.empty()) {
        operations_ = parse_addresses(config_.ops_listen);
        workers_.front()->listen(operations_, true);
    }
    if (!sockets.clients.empty() || !sockets.operations.empty())
        log::info("sockets_inherited", {{"clients", std::uint64_t{sockets.clients.size()}},
                                        {"ops", std::uint64_t{sockets.operations.size()}}});
}

Server::~Server() {
    reactors_.stop();
    // Sessions and connections refer to their worker: they go before it.
    for (auto& worker : workers_) worker->stop_listening();
    for (std::size_t i = 0; i < reactors_.size(); ++i) reactors_[i].destroy_owned();
}

void Server::start() {
    reactors_.start();
    on_all([](Worker&) {}); // each has turned once
    process_.started.store(true);
    announce();
}

void Server::register_metrics() {
    const auto gauge = [this](const char* name, const char* help, std::function<double()> read) {
        metrics_.gauge_from(name, help, std::move(read));
    };
    metrics_.gauge_from("build_info", "Constant 1, labelled with the version.", [] { return 1.0; },
                        {{"version", FANFARE_VERSION}});
    gauge("connections_max", "Connections above which newcomers are sent away.",
          [this] { return static_cast<double>(admission_.soft_limit()); });
    gauge("reactors", "Event loops.", [this] { return static_cast<double>(reactors_.size()); });
    metrics_.counter_from("log_lines_dropped_total",
                          "Log lines lost because the log could not be written in time.",
                          [] { return static_cast<double>(log::dropped()); });
    register_process_metrics(metrics_);
    gauge("mailbox_backlog", "Commands waiting for reactors.", [this] {
        std::size_t sum = 0;
        for (std::size_t i = 0; i < reactors_.size(); ++i) sum += reactors_[i].mailbox().backlog();
        return static_cast<double>(sum);
    });
}

void Server::announce() const {
    const auto text = [](const std::vector<net::ListenAddress>& addresses) {
        std::string list;
        for (const net::ListenAddress& address : addresses) {
            if (!list.empty()) list += ", ";
            const bool v6 = address.host.find(':') != std::string::npos;
            list += v6 ? fmt::format("[{}]:{}", address.host, address.port)
                       : fmt::format("{}:{}", address.host, address.port);
        }
        return list;
    };
    log::info("started", {{"version", FANFARE_VERSION},
                          {"node", config_.node_name},
                          {"listen", text(addresses_)},
                          {"ops_listen", text(operations_)},
                          {"reactors", std::uint64_t{reactors_.size()}},
                          {"connections_max", std::uint64_t{admission_.soft_limit()}},
                          {"config", config_.source}});
    for (const std::string& warning : config_.warnings)
        log::warn("config_warning", {{"detail", warning}});
    if (!config_.embedded_default) return;
    const std::string url = "http://" + text({addresses_.front()});
    fmt::print("Fanfare {} runs on its embedded default: this machine only, nothing is kept.\n"
               "  demo page  {}/\n",
               FANFARE_VERSION, url);
    // To whoever started the process, once, and not into a log that is kept.
    if (!config_.fresh_api_key.empty())
        fmt::print("  API key    {}   (for this run)\n"
                   "  publish    curl {}/api/v1/publish -H 'X-API-Key: <the key>' \\\n"
                   "                  -H 'Content-Type: application/json' \\\n"
                   "                  -d '{{\"room\":\"news\",\"data\":\"hello\"}}'\n",
                   config_.fresh_api_key, url);
    std::fflush(stdout);
}

void Server::on_all(const std::function<void(Worker&)>& act) {
    std::vector<std::future<void>> done;
    for (auto& worker : workers_) {
        auto finished = std::make_shared<std::promise<void>>();
        done.push_back(finished->get_future());
        worker->reactor().post(std::function<void()>{[finished, act, &worker] {
            act(*worker);
            finished->set_value();
        }});
    }
    // Whoever waits here cannot say that a reactor is stuck: this does.
    for (auto& each : done)
        while (each.wait_for(std::chrono::milliseconds{500}) != std::future_status::ready)
            static_cast<void>(check_reactors());
}

std::size_t Server::check_reactors() {
    const std::size_t stuck = watch_.check(system_clock().mono(), stuck_after_);
    process_.reactors_stuck.store(stuck, std::memory_order_relaxed);
    return stuck;
}

bool Server::reload(const std::function<Config()>& load) {
    std::shared_ptr<Config> fresh;
    try {
        fresh = std::make_shared<Config>(load());
        // Keys that cannot be used must not take the old ones' place.
        const auth::Authority probe{fresh->jwt, system_clock()};
    } catch (const std::exception& error) {
        log::error("reload_failed", {{"error", error.what()}});
        return false;
    }
    const Config asked = *fresh;
    keep_fixed(config_, *fresh);
    report_reload(asked, *fresh);
    const auto settings = std::make_shared<const Settings>(settings_of(*fresh));
    // A key that was taken away must not be good on one reactor when a new one is good on another:
    // first only those count that are in both, everywhere, then the new ones.
    const auto both = std::make_shared<const auth::ApiKeys>(keys_in_both(config_, *fresh));
    on_all([both](Worker& worker) { worker.use_keys(both); });
    on_all([settings](Worker& worker) { worker.apply(*settings); });
    if (store_.get() != nullptr) {
        store_.get()->set_rules(settings->rules, settings->room.position_ttl);
        store_.get()->inbox().set_options(settings->inbox);
    }
    if (push_) push_->reload(push_options(*fresh));
    log::configure(fresh->log);
    config_ = std::move(*fresh);
    return true;
}

void Server::report_reload(const Config& asked, const Config& taken) const {
    const auto joined = [](const std::vector<std::string>& keys) {
        std::string list;
        for (const std::string& key : keys) list += (list.empty() ? "" : ", ") + key;
        return list;
    };
    const std::string changed = joined(changed_keys(config_, taken));
    const std::string kept = joined(changed_keys(taken, asked));
    log::info("reloaded", {{"changed", changed}});
    if (!kept.empty())
        log::warn("reload_needs_restart",
                  {{"keys", kept}, {"detail", "these changes take effect at the next start"}});
    for (const std::string& warning : asked.warnings)
        log::warn("config_warning", {{"detail", warning}});
}

void Server::give_back_memory() {
    // Connections, not sessions: a session ends before the memory of its connection is free.
    const std::size_t now = admission_.open();
    connections_peak_ = std::max(connections_peak_, now);
    if (connections_peak_ - now < 1'000) return;
    connections_peak_ = now;
    ::malloc_trim(0);
}

void Server::drain(const std::function<bool(std::chrono::milliseconds)>& cut_short) {
    process_.draining.store(true);
    log::info("draining", {{"window_ms", std::int64_t{config_.drain.count()}},
                           {"connections", std::uint64_t{admission_.open()}}});
    for (auto& worker : workers_)
        worker->reactor().post(
            std::function<void()>{[&worker, window = config_.drain] { worker->drain(window); }});
    if (sends_) reactors_[0].post(std::function<void()>{[this] { sends_->stop(); }});
    // What is at the push services is waited for: unanswered, it would be pushed again.
    auto pushed = std::make_shared<std::promise<void>>();
    const std::future<void> no_more_pushes = pushed->get_future();
    if (push_)
        push_->drain([pushed] { pushed->set_value(); });
    else
        pushed->set_value();
    // The close handshakes of the last ones may reach a little beyond the window.
    const MonoMillis end =
        system_clock().mono() + config_.drain.count() + config_.session.close_timeout.count();
    // Clients' only: those to push services stay open until the process ends.
    while (system_clock().mono() < end && admission_.open() != 0) {
        if (!cut_short(std::chrono::milliseconds{20})) continue;
        log::warn("drain_cut_short", {{"connections", std::uint64_t{admission_.open()}}});
        break;
    }
    while (system_clock().mono() < end &&
           no_more_pushes.wait_for(std::chrono::seconds{0}) != std::future_status::ready)
        if (cut_short(std::chrono::milliseconds{20})) break;
    log::info("stopped", {{"connections", std::uint64_t{admission_.open()}}});
}

} // namespace fanfare::app
