// fanfare-push-sim: plays APNs, FCM, Web Push services and Google's token endpoint on this machine,
// with every fault that the real ones have. See docs/push-simulator.md.
#include "control.hpp"
#include "monitor.hpp"
#include "options.hpp"
#include "tls.hpp"
#include "worker.hpp"
#include "world.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <netinet/in.h>
#include <optional>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using sim::ServiceId;
using sim::services_count;
using sim::Worker;

Worker* to_be_stopped = nullptr;

void on_signal(int /*signal*/) {
    to_be_stopped->stop();
}

/// A listening socket on `port`, which becomes the chosen one if it is 0. The workers' sockets of a
/// service share a port: the kernel spreads connections over them.
int listen_on(const std::string& address, int& port, std::string_view service) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, address.c_str(), &name.sin_addr);
    socklen_t size = sizeof name;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&name), size) != 0 || ::listen(fd, 1024) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) {
        throw std::system_error(errno, std::generic_category(),
                                fmt::format("--{} {}: cannot listen", service, port));
    }
    port = ntohs(name.sin_port);
    return fd;
}

/// Whether somebody listens there already: SO_REUSEPORT would share the port in silence.
void check_free(const std::string& address, int port, std::string_view service) {
    if (port == 0) return;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, address.c_str(), &name.sin_addr);
    const int result = ::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name);
    const int error = errno;
    ::close(fd);
    if (result != 0) {
        throw std::system_error(error, std::generic_category(),
                                fmt::format("--{} {}: cannot listen", service, port));
    }
}

std::unique_ptr<sim::Service> make_service(ServiceId id, sim::World& world) {
    switch (id) {
    case ServiceId::apns:
        return sim::make_apns(world);
    case ServiceId::fcm:
        return sim::make_fcm(world);
    case ServiceId::webpush:
        return sim::make_webpush(world);
    default:
        return sim::make_oauth(world);
    }
}

void raise_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// The line that tells whoever started this program that it is ready, and where.
void print_ready(const sim::Options& options, const std::array<int, services_count>& ports) {
    std::string out = fmt::format(R"({{"pid":{})", ::getpid());
    for (std::size_t i = 0; i < services_count; ++i) {
        if (ports[i] < 0) continue;
        out += fmt::format(",\"{}\":{}", to_string(static_cast<ServiceId>(i)), ports[i]);
    }
    if (!options.h2c) out += fmt::format(R"(,"ca":"{}/ca.pem")", options.directory);
    std::printf("%s}\n", out.c_str());
    std::fflush(stdout);
}

int run(const sim::Options& options) {
    raise_descriptors();
    sim::World world{options};
    std::optional<sim::Tls> tls;
    if (!options.h2c) tls.emplace(options.directory, options.apns_client_ca);
    std::array<int, services_count> ports = options.ports;

    std::vector<std::unique_ptr<Worker>> workers;
    std::vector<Worker*> pointers;
    for (unsigned i = 0; i < options.threads; ++i) {
        pointers.push_back(workers.emplace_back(std::make_unique<Worker>(i, world)).get());
    }
    for (std::size_t i = 0; i + 1 < services_count; ++i) {
        const auto id = static_cast<ServiceId>(i);
        if (ports[i] < 0) continue;
        check_free(options.listen, ports[i], to_string(id));
        for (Worker* worker : pointers) {
            const int fd = listen_on(options.listen, ports[i], to_string(id));
            worker->serve(id, make_service(id, world), tls ? &*tls : nullptr, fd);
        }
    }

    // The main thread's loop: control, if it is wanted, and the end.
    Worker main_worker{options.threads, world};
    sim::Monitor monitor{pointers};
    constexpr auto control = static_cast<std::size_t>(ServiceId::control);
    if (ports[control] >= 0) {
        const std::string loopback = "127.0.0.1";
        check_free(loopback, ports[control], "control");
        const int fd = listen_on(loopback, ports[control], "control");
        const std::string host = options.listen == "0.0.0.0" ? loopback : options.listen;
        std::string base = fmt::format("{}://{}:{}", options.h2c ? "http" : "https", host,
                                       ports[static_cast<std::size_t>(ServiceId::webpush)]);
        main_worker.serve(ServiceId::control,
                          sim::make_control(world, pointers, monitor, std::move(base)), nullptr,
                          fd);
    }
    to_be_stopped = &main_worker;
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    std::signal(SIGPIPE, SIG_IGN); // OpenSSL writes without MSG_NOSIGNAL

    std::vector<std::thread> threads;
    threads.reserve(workers.size());
    for (Worker* worker : pointers) threads.emplace_back([worker] { worker->run(); });
    print_ready(options, ports);
    main_worker.run();
    const std::string summary = monitor.summary();
    for (Worker* worker : pointers) worker->stop();
    for (std::thread& thread : threads) thread.join();
    if (!summary.empty()) std::fprintf(stderr, "fanfare-push-sim: %s\n", summary.c_str());
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    const sim::Parsed parsed = sim::parse_options(argc, argv);
    if (!parsed.options) return parsed.exit_status;
    try {
        return run(*parsed.options);
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "fanfare-push-sim: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fanfare-push-sim: %s\n", error.what());
        return 1;
    }
}
