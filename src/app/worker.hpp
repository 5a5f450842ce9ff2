#pragma once
// Everything of one reactor, in the order in which it is built: the block diagram in code.

#include "config.hpp"

#include <fanfare/api/api.hpp>
#include <fanfare/auth/authority.hpp>
#include <fanfare/delivery/inboxes.hpp>
#include <fanfare/http/router.hpp>
#include <fanfare/http/server.hpp>
#include <fanfare/net/acceptor.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/protocols/protocols.hpp>
#include <fanfare/protocols/sse.hpp>
#include <fanfare/room/rooms.hpp>
#include <fanfare/session/sessions.hpp>
#include <fanfare/stores/stores.hpp>
#include <fanfare/ws/connection.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fanfare::app {

/// What all reactors share: read-only but for the atomics.
struct Process {
    Metrics& metrics;
    net::Admission& admission;
    stores::Store* const store; // null: nothing durable
    const bool own_operations;  // operations have a listener of their own
    std::atomic<bool> started{false};
    std::atomic<bool> draining{false};
    std::atomic<std::size_t> reactors_stuck{0};
};

/// What a reload can change, made once and handed to every worker.
struct Settings {
    room::RulesRef rules;
    room::Options room;
    std::shared_ptr<const session::Options> session;
    delivery::InboxOptions inbox;
    std::shared_ptr<const auth::ApiKeys> keys;
    auth::JwtOptions jwt;
    http::Options http;
    api::Options api;
};
[[nodiscard]] Settings settings_of(const Config& config);

class Worker {
  public:
    Worker(net::Reactor& reactor, Process& process, const Config& config, const Settings& settings,
           room::IdempotencyLog& idempotency, unsigned reactors);
    ~Worker();

    /// Once, when all workers exist.
    void connect(const std::vector<std::unique_ptr<Worker>>& all);
    /// Before the reactor runs; fills in ports that were 0. Throws with the address on failure.
    void listen(std::vector<net::ListenAddress>& addresses, bool operations);
    /// Before the reactor runs: accepts from a socket that exists, and gives the connections to all
    /// workers in turn. Returns its address; throws on failure.
    net::ListenAddress accept_for_all(int fd, const std::vector<std::unique_ptr<Worker>>& all);
    /// The same for operations, which are served here.
    net::ListenAddress accept_operations(int fd);

    // On the worker's reactor:
    void apply(const Settings& settings);
    /// Only these keys count until `apply`: the first step of a reload.
    void use_keys(const std::shared_ptr<const auth::ApiKeys>& keys);
    /// Tells who follows these notifications. Only with a store.
    void on_changes(std::function<void(const std::vector<delivery::StatusChange>&)> tell) {
        inboxes_->on_changes(std::move(tell));
    }
    void place(delivery::Order order, std::function<void(const delivery::Placed&)> done) {
        inboxes_->place(std::move(order), std::move(done));
    }
    /// Who is to send nothing to devices that are no more. Before requests come.
    void on_devices_gone(api::Api::ForgetDevices forget) {
        api_.on_devices_gone(std::move(forget));
    }
    void announce(const std::vector<delivery::StatusChange>& changes) {
        inboxes_->announce(changes);
    }
    void drain(std::chrono::milliseconds window);
    void stop_listening();

    [[nodiscard]] net::Reactor& reactor() noexcept { return reactor_; }

  private:
    void add_client_routes(const Config& config);
    net::ListenAddress adopt(int fd, net::Acceptor::OnAccept on_accept);
    /// Asked before routing. True: it has answered.
    [[nodiscard]] bool gate(http::Exchange& exchange);

    net::Reactor& reactor_;
    Process& process_;
    const bool loopback_only_;
    std::unique_ptr<auth::Authority> authority_;
    room::Rooms rooms_;
    std::unique_ptr<room::Broker> broker_;
    session::Sessions sessions_;
    std::unique_ptr<delivery::Inboxes> inboxes_; // null: no store
    std::unique_ptr<ws::TextProtocol> json_;
    ws::Service websockets_;
    protocols::SseService sse_;
    api::Options api_options_;
    api::Api api_;
    http::Router clients_;
    http::Router operations_;
    http::Server client_server_;
    http::Server operations_server_;
    std::vector<std::unique_ptr<net::Acceptor>> acceptors_;
};

} // namespace fanfare::app
