#pragma once
// The gateway as a whole: built in order, torn down in reverse. It knows no signals, so that tests
// drive it as `serve` does.

#include "config.hpp"
#include "reactor_watch.hpp"
#include "server_push.hpp"
#include "server_store.hpp"
#include "worker.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/delivery/send_expander.hpp>
#include <fanfare/net/acceptor.hpp>
#include <fanfare/net/admission.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/idempotency.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace fanfare::app {

/// Listening TCP sockets that somebody else opened for this process (systemd); each list that is
/// not empty takes the place of configured addresses. The Server owns and closes them.
struct ListenSockets {
    std::vector<int> clients;
    std::vector<int> operations;
};

/// All calls come from one thread, which is no reactor's.
class Server {
  public:
    /// Builds everything and binds the addresses. Throws with one sentence if that fails.
    explicit Server(Config config, ListenSockets sockets = {});
    /// Ends the reactors and what is still open on them, without a word to anyone: see drain().
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Starts the reactors; returns when all of them run and clients are served.
    void start();
    /// Applies what `load` gives (it may throw: then everything stays), logs what was changed and
    /// what needs a restart. The reactors follow within a turn. False: everything stayed.
    bool reload(const std::function<Config()>& load);
    /// Refuses new work, sends the clients away over the configured window and waits until they are
    /// gone, or a little longer than the window. Meanwhile `cut_short` is called again and again:
    /// it waits for at most the time that it is given; true ends the wait.
    void drain(const std::function<bool(std::chrono::milliseconds)>& cut_short);
    /// Asks all reactors whether they turn; to be called about four times in stuck_after(). Those
    /// that have not for that long are logged, and /health fails. Returns how many they are.
    [[nodiscard]] std::size_t check_reactors();
    /// How long a reactor may take for a turn until it is taken for stuck.
    void set_stuck_after(std::chrono::milliseconds limit) noexcept { stuck_after_ = limit; }
    /// After many clients have left, hands the freed memory back to the system: the allocator keeps
    /// it otherwise, scattered, for ever. To be called every few seconds.
    void give_back_memory();

    /// Where clients, the API and operations are served; ports that were 0 are filled in.
    [[nodiscard]] const std::vector<net::ListenAddress>& addresses() const noexcept {
        return addresses_;
    }
    /// Open connections of any kind.
    [[nodiscard]] std::size_t connections_open() const noexcept { return admission_.open(); }
    [[nodiscard]] const Metrics& metrics() const noexcept { return metrics_; }

  private:
    void register_metrics();
    void follow_inboxes();
    void start_sends();
    void start_push();
    void listen(const ListenSockets& sockets);
    void announce() const;
    /// What was `asked` for, and what of it was `taken`.
    void report_reload(const Config& asked, const Config& taken) const;
    /// Runs `act` on every worker's reactor and waits for all.
    void on_all(const std::function<void(Worker&)>& act);

    Config config_;
    Metrics metrics_;
    net::Admission admission_;
    net::Reactors reactors_;
    ReactorWatch watch_;
    std::chrono::milliseconds stuck_after_{10'000};
    ServerStore store_;
    Process process_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::unique_ptr<delivery::SendExpander> sends_; // null: no store
    std::unique_ptr<ServerPush> push_;              // null: nothing is pushed
    std::vector<net::ListenAddress> addresses_;
    std::vector<net::ListenAddress> operations_;
    std::size_t connections_peak_ = 0; // since memory was given back
};

} // namespace fanfare::app
