#include "h1_connection.hpp"
#include "server_state.hpp"

#include <fanfare/base/ids.hpp>
#include <fanfare/http/server.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/transport.hpp>

#include <unistd.h>
#include <utility>

namespace fanfare::http {
namespace {

// Work objects kept for the next busy connections, and the largest string kept in one: bursts
// above that pay for their allocations, and give the memory back.
constexpr std::size_t spare_work_max = 32;
constexpr std::size_t spare_string_max = std::size_t{64} * 1024;

void empty_string(std::string& text) {
    text.clear();
    if (text.capacity() > spare_string_max) text.shrink_to_fit();
}

} // namespace

void Work::forget_body() {
    body = no_body;
    empty_string(collected);
}

void Work::reset_request() {
    forget_body();
    head.end_request();
    decoder = BodyDecoder{};
    routed = false;
    sink.reset();
    empty_string(request_id);
    answer = Answer::none;
    paused = continue_sent = chunked_answer = false;
}

Server::State::State(net::Reactor& reactor_, Router& router_, net::Admission& admission_,
                     const Options& options_)
    : reactor(reactor_), router(router_), admission(admission_),
      continue_bytes(LocalBytes::copy_of(continue_head)), id_prefix(random_text(10) + "-"),
      options(options_),
      open(reactor_.metrics().gauge("connections", "Open connections by what they speak.",
                                    {{"transport", "http"}})) {}

std::unique_ptr<Work> Server::State::lend_work() {
    if (spare_work.empty()) return std::make_unique<Work>();
    auto work = std::move(spare_work.back());
    spare_work.pop_back();
    return work;
}

void Server::State::take_back(std::unique_ptr<Work> work) {
    work->reset_request();
    empty_string(work->input);
    work->input_start = 0;
    if (spare_work.size() < spare_work_max) spare_work.push_back(std::move(work));
}

std::string Server::State::make_request_id() {
    return id_prefix + std::to_string(++ids_made);
}

void Server::State::count_fault(errc error) {
    Counter*& cell = faults[static_cast<std::size_t>(error)];
    if (cell == nullptr)
        cell = &reactor.metrics().counter("http_faults_total",
                                          "Requests refused as malformed, too large or too late.",
                                          {{"fault", std::string{fault_name(error)}}});
    cell->add();
}

Server::Server(net::Reactor& reactor, Router& router, net::Admission& admission,
               const Options& options)
    : state_(std::make_unique<State>(reactor, router, admission, options)) {}

Server::~Server() {
    while (!state_->connections.empty()) state_->connections.back()->abandon();
}

void Server::accept(int fd, net::Admission::Verdict verdict) {
    if (verdict == net::Admission::Verdict::refuse) {
        ::close(fd);
        return;
    }
    auto connection =
        std::make_unique<H1Connection>(*state_, verdict == net::Admission::Verdict::shed);
    auto transport =
        net::make_plain_transport(state_->reactor, fd, connection->handler(), &state_->admission);
    if (transport == nullptr) return;
    H1Connection& adopted = *connection;
    state_->reactor.adopt(std::move(connection));
    adopted.start(std::move(transport));
}

void Server::accept(std::unique_ptr<net::Transport> transport, net::Admission::Verdict verdict) {
    if (verdict == net::Admission::Verdict::refuse) return transport->close();
    auto connection =
        std::make_unique<H1Connection>(*state_, verdict == net::Admission::Verdict::shed);
    transport->set_handler(connection->handler());
    H1Connection& adopted = *connection;
    state_->reactor.adopt(std::move(connection));
    adopted.start(std::move(transport));
}

void Server::drain() {
    state_->draining = true;
    const auto connections = state_->connections; // closing takes a connection off the list
    for (H1Connection* const connection : connections) connection->close_if_idle();
}

std::size_t Server::connections() const noexcept {
    return state_->connections.size();
}

void Server::set_options(const Options& options) noexcept {
    state_->options = options;
}

} // namespace fanfare::http
