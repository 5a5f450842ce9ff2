#include "server.hpp"

#include "worker.hpp"

#include <fanfare/base/log.hpp>
#include <fanfare/stores/stores.hpp>

#include <fmt/core.h>

#include <malloc.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <poll.h>
#include <algorithm>
#include <csignal>
#include <future>
#include <system_error>
#include <thread>

namespace fanfare::app {
namespace {

/// The signals that steer the process, read by the main thread; blocked for all threads that are
/// started afterwards.
class Signals {
  public:
    Signals() {
        ::sigemptyset(&set_);
        for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set_, signal);
        ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
        ::signal(SIGPIPE, SIG_IGN); // NOLINT(concurrency-mt-unsafe): before any thread
        fd_ = ::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
    }
    ~Signals() { ::close(fd_); }
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    /// The next signal, or 0 after `timeout`.
    [[nodiscard]] int wait(std::chrono::milliseconds timeout) const {
        pollfd waiting{fd_, POLLIN, 0};
        if (::poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0) return 0;
        signalfd_siginfo info{};
        if (::read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return 0;
        return static_cast<int>(info.ssi_signo);
    }

  private:
    sigset_t set_{};
    int fd_ = -1;
};

unsigned reactor_count(const Config& config) {
    if (config.reactors != 0) return static_cast<unsigned>(config.reactors);
    return std::clamp(std::thread::hardware_concurrency(), 1U, 256U);
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

class Server {
  public:
    explicit Server(Config config)
        : config_(std::move(config)), admission_(config_.max_connections),
          process_{metrics_, admission_},
          reactors_(reactor_count(config_), system_clock(), metrics_),
          idempotency_(stores::make_memory_idempotency(reactors_, config_.idempotency)) {
        register_metrics();
        const Settings settings = settings_of(config_);
        const auto count = static_cast<unsigned>(reactors_.size());
        for (unsigned i = 0; i < count; ++i)
            workers_.push_back(std::make_unique<Worker>(reactors_[i], process_, config_, settings,
                                                        *idempotency_, count));
        for (auto& worker : workers_) worker->connect(workers_);
        addresses_ = parse_addresses(config_.listen);
        for (auto& worker : workers_) worker->listen(addresses_, false);
        operations_ = parse_addresses(config_.ops_listen);
        workers_.front()->listen(operations_, true);
    }

    ~Server() {
        reactors_.stop();
        // Sessions and connections refer to their worker: they go before it.
        for (auto& worker : workers_) worker->stop_listening();
        for (std::size_t i = 0; i < reactors_.size(); ++i) reactors_[i].destroy_owned();
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void run(const Signals& signals, const std::function<Config()>& load) {
        reactors_.start();
        process_.started.store(true);
        announce();
        for (;;) {
            const int signal = signals.wait(std::chrono::seconds{2});
            if (signal == SIGHUP)
                reload(load);
            else if (signal != 0)
                break;
            give_back_memory();
        }
        drain(signals);
    }

  private:
    void register_metrics() {
        const auto gauge = [this](const char* name, const char* help, std::function<double()> read) {
            metrics_.gauge_from(name, help, std::move(read));
        };
        metrics_.gauge_from("build_info", "Constant 1, labelled with the version.",
                            [] { return 1.0; }, {{"version", FANFARE_VERSION}});
        gauge("connections", "Open client connections of any kind.",
              [this] { return static_cast<double>(admission_.open()); });
        gauge("connections_max", "Connections above which newcomers are sent away.",
              [this] { return static_cast<double>(admission_.soft_limit()); });
        gauge("reactors", "Event loops.", [this] { return static_cast<double>(reactors_.size()); });
        gauge("log_lines_dropped", "Log lines lost because the log could not be written in time.",
              [] { return static_cast<double>(log::dropped()); });
        const double started = static_cast<double>(system_clock().wall()) / 1000.0;
        gauge("start_time_seconds", "When the process started, in Unix seconds.",
              [started] { return started; });
        gauge("mailbox_backlog", "Commands waiting for reactors.", [this] {
            std::size_t sum = 0;
            for (std::size_t i = 0; i < reactors_.size(); ++i)
                sum += reactors_[i].mailbox().backlog();
            return static_cast<double>(sum);
        });
    }

    void announce() const {
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
        if (!config_.fresh_api_key.empty())
            fmt::print("  API key    {}   (this run only)\n"
                       "  publish    curl -X POST {}/api/v1/publish -H 'X-API-Key: {}' \\\n"
                       "                  -H 'Content-Type: application/json' \\\n"
                       "                  -d '{{\"room\":\"news\",\"data\":\"hello\"}}'\n",
                       config_.fresh_api_key, url, config_.fresh_api_key);
        std::fflush(stdout);
    }

    void reload(const std::function<Config()>& load) {
        std::shared_ptr<Config> fresh;
        try {
            fresh = std::make_shared<Config>(load());
            // Keys that cannot be used must not take the old ones' place.
            const auth::Authority probe{fresh->jwt, system_clock()};
        } catch (const std::exception& error) {
            log::error("reload_failed", {{"error", error.what()}});
            return;
        }
        const auto settings = std::make_shared<const Settings>(settings_of(*fresh));
        for (auto& worker : workers_)
            worker->reactor().post(
                std::function<void()>{[&worker, settings] { worker->apply(*settings); }});
        log::configure(fresh->log);
        report_reload(*fresh);
        // What cannot be changed stays as it was, so that the next reload tells again.
        fresh->listen = config_.listen;
        fresh->ops_listen = config_.ops_listen;
        fresh->reactors = config_.reactors;
        fresh->max_connections = config_.max_connections;
        fresh->node_name = config_.node_name;
        fresh->idempotency = config_.idempotency;
        config_ = std::move(*fresh);
    }

    void report_reload(const Config& fresh) const {
        constexpr std::array<std::string_view, 9> fixed{
            "node.name",   "server.listen",      "server.ops_listen",   "server.reactors",
            "server.tls",  "server.max_connections", "idempotency",     "rooms_max",
            "clients.deflate_min"};
        std::string changed;
        std::string kept;
        for (const std::string& key : changed_keys(config_, fresh)) {
            const bool is_fixed = std::any_of(fixed.begin(), fixed.end(), [&](std::string_view f) {
                return key == f || key.starts_with(std::string{f} + ".");
            });
            std::string& list = is_fixed ? kept : changed;
            if (!list.empty()) list += ", ";
            list += key;
        }
        log::info("reloaded", {{"changed", changed}});
        if (!kept.empty())
            log::warn("reload_needs_restart",
                      {{"keys", kept}, {"detail", "these changes take effect at the next start"}});
        for (const std::string& warning : fresh.warnings)
            log::warn("config_warning", {{"detail", warning}});
    }

    /// After many clients have left, hands the freed memory back to the system: the allocator keeps
    /// it otherwise, scattered, for ever.
    void give_back_memory() {
        const auto now = static_cast<std::int64_t>(metrics_.sum("sessions"));
        sessions_peak_ = std::max(sessions_peak_, now);
        if (sessions_peak_ - now < 1'000) return;
        sessions_peak_ = now;
        ::malloc_trim(0);
    }

    /// Connections that are still there, over all reactors.
    [[nodiscard]] std::size_t connections() {
        std::size_t sum = 0;
        for (auto& worker : workers_) {
            auto count = std::make_shared<std::promise<std::size_t>>();
            auto answer = count->get_future();
            worker->reactor().post(std::function<void()>{
                [count, &worker] { count->set_value(worker->reactor().owned()); }});
            sum += answer.get();
        }
        return sum;
    }

    void drain(const Signals& signals) {
        process_.draining.store(true);
        log::info("draining", {{"window_ms", std::int64_t{config_.drain.count()}},
                               {"connections", std::uint64_t{admission_.open()}}});
        for (auto& worker : workers_)
            worker->reactor().post(std::function<void()>{
                [&worker, window = config_.drain] { worker->drain(window); }});
        // The close handshakes of the last ones may reach a little beyond the window.
        const MonoMillis end =
            system_clock().mono() + config_.drain.count() + config_.session.close_timeout.count();
        while (system_clock().mono() < end && connections() != 0) {
            const int signal = signals.wait(std::chrono::milliseconds{20});
            if (signal == SIGHUP) continue;
            if (signal != 0) {
                log::warn("drain_cut_short", {{"connections", std::uint64_t{admission_.open()}}});
                break;
            }
        }
        log::info("stopped", {{"connections", std::uint64_t{admission_.open()}}});
    }

    Config config_;
    Metrics metrics_;
    net::Admission admission_;
    Process process_;
    net::Reactors reactors_;
    std::unique_ptr<room::IdempotencyLog> idempotency_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<net::ListenAddress> addresses_;
    std::vector<net::ListenAddress> operations_;
    std::int64_t sessions_peak_ = 0;
};

} // namespace

int serve(Config config, std::function<Config()> reload) {
    log::configure(config.log);
    const Signals signals;
    Server server{std::move(config)};
    server.run(signals, reload);
    log::flush();
    return 0;
}

} // namespace fanfare::app
