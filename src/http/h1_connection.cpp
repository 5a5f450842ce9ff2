#include "h1_connection.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/base/log.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <exception>
#include <utility>

namespace fanfare::http {
namespace {

// What is set aside for a body on its announced length alone.
constexpr std::size_t body_reserve_max = std::size_t{256} * 1024;

/// Continues a connection in a later turn, if it is still there then.
struct Continuation {
    net::Reactor* reactor;
    net::Handle connection;
    void (*go_on)(net::Owned& connection);
    void operator()() const {
        if (net::Owned* const owned = reactor->find(connection)) go_on(*owned);
    }
};

} // namespace

H1Connection::H1Connection(Server::State& server, bool shed)
    : reactor_(server.reactor), server_(&server), out_(*this), shed_(shed) {}

H1Connection::~H1Connection() {
    end_handle();
    unlink();
    out_.attach(nullptr);
}

void H1Connection::start(std::unique_ptr<net::Transport> transport) {
    transport_ = std::move(transport);
    out_.attach(transport_.get());
    list_index_ = server_->connections.size();
    server_->connections.push_back(this);
    server_->open.add(1);
    linked_ = true;
    update_io();
}

void H1Connection::unlink() {
    if (!linked_) return;
    linked_ = false;
    auto& list = server_->connections;
    list[list_index_] = list.back();
    list[list_index_]->list_index_ = list_index_;
    list.pop_back();
    server_->open.add(-1);
}

void H1Connection::close_if_idle() {
    if (state_ != State::idle) return;
    begin_close();
    update_io();
}

void H1Connection::abandon() {
    fail();
    server_ = nullptr;
}

// --- bytes in ---

void H1Connection::on_readable() {
    if (state_ == State::closed) return;
    if (state_ == State::lingering) return discard_input();
    const std::span<std::byte> room = reactor_.read_buffer();
    const Result<std::size_t> read = transport_->read(room);
    if (!read) {
        if (read.error() != boost::asio::error::would_block) fail();
        return;
    }
    if (*read == 0) {
        if (peer_end_) return fail(); // told again after the end: both directions are gone
        peer_end_ = true;
        return feed({});
    }
    if (state_ != State::closing) feed(as_text(room.first(*read)));
}

void H1Connection::discard_input() {
    const Result<std::size_t> read = transport_->read(reactor_.read_buffer());
    if (!read && read.error() == boost::asio::error::would_block) return;
    if (!read || *read == 0 || (discarded_ += *read) > linger_bytes_max) fail();
}

void H1Connection::feed(std::string_view fresh) {
    if (state_ == State::closed) return;
    FANFARE_ASSERT(!feeding_);
    std::string own;
    std::string_view input = fresh;
    if (work_ && work_->has_input()) {
        // Taken out of the Work, so that it stays where it is whatever happens to that.
        if (!fresh.empty()) {
            work_->input.erase(0, std::exchange(work_->input_start, 0));
            work_->input.append(fresh);
        }
        const std::size_t start = std::exchange(work_->input_start, 0);
        own = std::exchange(work_->input, {});
        own.append(body_slack, '\0');
        input = std::string_view{own}.substr(start, own.size() - start - body_slack);
    }
    feeding_ = true;
    const std::string_view rest = consume(input);
    feeding_ = false;
    park(rest, std::move(own));
}

/// Goes through the requests in `input`; returns what has to wait.
std::string_view H1Connection::consume(std::string_view input) {
    for (;;) {
        settle();
        switch (state_) {
        case State::idle:
        case State::held:
            state_ = State::idle;
            if (input.empty()) return input;
            // A client that pipelines must read too, or answers would pile up here.
            if (out_.blocked() || out_.queued_bytes() > server_->options.response_queue_max) {
                state_ = State::held;
                if (!work_) work_ = server_->lend_work();
                return input;
            }
            if (!work_) work_ = server_->lend_work();
            state_ = State::head;
            [[fallthrough]];
        case State::head:
            input.remove_prefix(take_head(input));
            if (state_ == State::head) return input;
            break;
        case State::body:
            if (!work_->paused) input.remove_prefix(take_body(input));
            if (state_ == State::body && work_->answer != Work::Answer::complete) return input;
            break;
        case State::discarding:
            input.remove_prefix(discard_body(input));
            if (state_ == State::discarding) return input;
            break;
        case State::waiting:
            return input;
        case State::closing:
        case State::lingering:
        case State::closed:
            return {};
        }
    }
}

/// Keeps what has to wait, or gives back what an idle connection does not need.
void H1Connection::park(std::string_view rest, std::string own) {
    if (state_ == State::closed) return;
    const bool ending = state_ == State::closing || state_ == State::lingering;
    if (!rest.empty() && !ending) {
        if (own.empty()) {
            work_->input.assign(rest);
        } else {
            own.resize(own.size() - body_slack);
            work_->input_start = own.size() - rest.size();
            work_->input = std::move(own);
        }
    }
    // A request that is not whole will not become so.
    if (peer_end_ && !ending && state_ != State::waiting && state_ != State::held) begin_close();
    if (state_ == State::closed) return;
    const bool needed =
        state_ != State::idle && state_ != State::closing && state_ != State::lingering;
    if (work_ && !needed) server_->take_back(std::move(work_));
    update_io();
}

/// Lets the loop go on when the code that is running now has returned.
void H1Connection::continue_later() {
    if (std::exchange(continue_posted_, true)) return;
    reactor_.post(Continuation{&reactor_, Owned::handle(), [](net::Owned& owned) {
                                   auto& connection = static_cast<H1Connection&>(owned);
                                   connection.continue_posted_ = false;
                                   connection.feed({});
                               }});
}

// --- one request ---

std::size_t H1Connection::take_head(std::string_view input) {
    Work& work = *work_;
    switch (work.head.read(input, server_->options.head_bytes_max)) {
    case HeadParser::Status::need_more:
        return 0;
    case HeadParser::Status::fault:
        refuse(work.head.fault());
        return input.size();
    case HeadParser::Status::complete:
        break;
    }
    if (!work.head.repeated()) work.matched = false;
    const ParsedHead& request = work.request();
    work.decoder =
        request.chunked ? BodyDecoder::of_chunks() : BodyDecoder::of_length(request.content_length);
    state_ = work.decoder.done() ? State::waiting : State::body;
    if (request.head.has(Header::x_request_id)) {
        const std::string_view id = request.head[Header::x_request_id];
        if (is_sane_request_id(id)) work.request_id = id;
    }
    const std::size_t head_bytes = request.bytes;
    return head_bytes + begin_exchange(input);
}

/// `input` begins with the head. Returns the bytes of the body that were used in place.
std::size_t H1Connection::begin_exchange(std::string_view input) {
    Work& work = *work_;
    work.began = reactor_.now_micros();
    const ParsedHead& request = work.request();
    const std::string_view rest = input.substr(request.bytes);
    rest_ = rest;
    if (!admit()) return 0;
    const Route& route = *work.match.route;
    if (route.open_body) {
        run([&] { work.sink = route.open_body(*this); });
        if (over()) return 0;
    }
    const std::uint64_t length = request.content_length;
    if (!work.sink && length > route.body_bytes_max) {
        refuse(
            {errc::body_too_large, "at most " + std::to_string(route.body_bytes_max) + " bytes"});
        return 0;
    }
    if (state_ == State::waiting) {
        dispatch();
        return 0;
    }
    if (!work.sink && !request.chunked && length <= rest.size()) {
        const auto bytes = static_cast<std::size_t>(length);
        work.body = rest.substr(0, bytes);
        rest_ = rest.substr(bytes);
        state_ = State::waiting;
        dispatch();
        return bytes;
    }
    if (request.expects_continue) {
        // Who has begun to send does not wait for it (RFC 9110 §10.1.1).
        if (rest.empty()) {
            out_.push(server_->continue_bytes);
            pushed_ += server_->continue_bytes->size();
        }
        work.continue_sent = true;
    }
    return 0;
}

/// Gate, routing and guard. False: the request is answered.
bool H1Connection::admit() {
    Work& work = *work_;
    const auto& gate = server_->router.gate();
    if (gate) {
        bool answered = false;
        run([&] { answered = gate(*this); });
        if (answered || over()) {
            if (!over()) on_exception("the gate took a request and did not answer it");
            return false;
        }
    } else if (shed_) {
        respond(problem(Code::unavailable, "the gateway is full"));
        return false;
    }
    // Routes are constant: the same head finds the same one.
    if (!std::exchange(work.matched, true)) work.match = server_->router.match(work.request().head);
    work.routed = true;
    if (work.match.route == nullptr) {
        respond(work.match.refusal);
        return false;
    }
    if (work.match.route->guard) {
        bool passed = false;
        run([&] { passed = work.match.route->guard(*this); });
        if (!passed || over()) {
            if (!over()) on_exception("a guard refused a request and did not answer it");
            return false;
        }
    }
    return true;
}

std::size_t H1Connection::take_body(std::string_view input) {
    Work& work = *work_;
    std::size_t taken = 0;
    while (taken < input.size() && !work.decoder.done() && !work.paused) {
        const BodyDecoder::Step step = work.decoder.next(input.substr(taken));
        taken += step.consumed;
        if (step.error != errc::none) {
            refuse({step.error, {}});
            return input.size();
        }
        if (step.piece.empty()) continue;
        if (work.sink) {
            run([&] { work.sink->on_body(step.piece); });
            if (over()) return taken;
            continue;
        }
        const std::size_t limit = work.match.route->body_bytes_max;
        if (work.collected.empty() && !work.decoder.chunked())
            work.collected.reserve(std::min(static_cast<std::size_t>(work.request().content_length),
                                            body_reserve_max) +
                                   body_slack);
        if (step.piece.size() > limit - work.collected.size()) {
            refuse({errc::body_too_large, "at most " + std::to_string(limit) + " bytes"});
            return input.size();
        }
        work.collected.append(step.piece);
    }
    if (!work.decoder.done() || work.paused) return taken;
    state_ = State::waiting;
    rest_ = input.substr(taken);
    if (!work.sink) {
        const std::size_t bytes = work.collected.size();
        work.collected.append(body_slack, '\0');
        work.body = std::string_view{work.collected}.substr(0, bytes);
    }
    dispatch();
    return taken;
}

std::size_t H1Connection::discard_body(std::string_view input) {
    std::size_t taken = 0;
    while (taken < input.size() && !work_->decoder.done()) {
        const BodyDecoder::Step step = work_->decoder.next(input.substr(taken));
        taken += step.consumed;
        discarded_ += step.consumed;
        if (step.error != errc::none || discarded_ > discard_bytes_max) {
            begin_close();
            return input.size();
        }
    }
    if (work_->decoder.done()) end_exchange();
    return taken;
}

/// The request is whole: its handler's turn.
void H1Connection::dispatch() {
    Work& work = *work_;
    if (work.sink) {
        run([&] { work.sink->on_body_end(); });
    } else {
        run([&] { work.match.route->handler(*this); });
    }
    if (over()) return;
    work.forget_body();
}

template <class F>
void H1Connection::run(F&& user_code) {
    try {
        user_code();
    } catch (const std::exception& e) {
        on_exception(e.what());
    } catch (...) {
        on_exception("not a std::exception");
    }
}

void H1Connection::on_exception(const char* what) {
    Work& work = *work_;
    if (work.request_id.empty() && server_ != nullptr) work.request_id = server_->make_request_id();
    const Route* const route = work.route();
    log::error("http_handler_failed",
               {{"request", work.request_id},
                {"route", route != nullptr ? std::string_view{route->pattern} : ""},
                {"what", what}});
    if (over()) return;
    // An answer whose half is sent cannot become another one: its missing end says enough.
    if (work.answer == Work::Answer::streaming) return fail();
    respond(
        problem(Code::internal, "something went wrong here; the log names it by the request id"));
}

bool H1Connection::over() const noexcept {
    return state_ == State::closed || state_ == State::closing || state_ == State::lingering ||
           work_->answer == Work::Answer::complete;
}

/// Acts on an answer that is complete.
void H1Connection::settle() {
    if (!work_ || work_->answer != Work::Answer::complete) return;
    if (state_ != State::body && state_ != State::waiting) return;
    if (close_after_) return begin_close();
    if (state_ == State::waiting) return end_exchange();
    work_->sink.reset();
    state_ = State::discarding;
    discarded_ = 0;
}

void H1Connection::end_exchange() {
    work_->reset_request();
    // A connection that comes with a second request is a backend's, or a browser's: no storm.
    if (!std::exchange(served_, true)) transport_->set_established();
    state_ = State::idle;
    timing_ = Timing::none; // the next head has its own time
}

/// A fault of the wire: answered if it still can be, and the connection ends.
void H1Connection::refuse(const Fault& fault) {
    server_->count_fault(fault.error);
    if (state_ == State::head && fault.error == errc::head_timeout) work_->head.forget();
    if (log::enabled(log::Level::debug))
        log::debug("http_request_refused",
                   {{"fault", fault_name(fault.error)}, {"peer", peer()}, {"place", fault.place}});
    if (work_->answer != Work::Answer::none) return fail();
    send_answer(fault_response(fault), true);
    begin_close();
}

// --- the end ---

void H1Connection::begin_close() {
    state_ = State::closing;
    end_handle();
    if (work_) work_->reset_request();
    if (out_.empty()) finish_close();
}

void H1Connection::finish_close() {
    if (peer_end_) return fail();
    transport_->shutdown_send();
    state_ = State::lingering;
    discarded_ = 0;
    update_io();
}

/// Closes without another word.
void H1Connection::fail() {
    if (state_ == State::closed) return;
    state_ = State::closed;
    end_handle();
    cancel();
    out_.clear();
    transport_->close();
    unlink();
    reactor_.retire(Owned::handle());
}

void H1Connection::on_drained() {
    if (state_ == State::closing) finish_close();
    if (state_ == State::held) continue_later();
    if (state_ == State::body && work_->sink) work_->sink->on_answer_taken();
}

// --- time and readiness ---

bool H1Connection::wants_input() const noexcept {
    if (peer_end_) return false;
    switch (state_) {
    case State::body:
        return !work_->paused;
    // One head's worth of pipelined requests is kept meanwhile, the rest stays in the kernel.
    // Reading on shows a peer that left.
    case State::waiting:
    case State::held:
        return !work_ || work_->input_bytes() < server_->options.head_bytes_max;
    case State::closing:
    case State::closed:
        return false;
    default:
        return true;
    }
}

H1Connection::Timing H1Connection::wanted_timing() const noexcept {
    switch (state_) {
    case State::idle:
        return served_ ? Timing::keep_alive : Timing::head;
    case State::head:
        return Timing::head;
    case State::body:
        // Paused for as long as it takes, but not for a peer that does not take its answer.
        return work_->paused ? Timing::output : Timing::body;
    case State::discarding:
        return Timing::body;
    case State::waiting:
        return work_->answer == Work::Answer::streaming ? Timing::output : Timing::none;
    case State::held:
    case State::closing:
        return Timing::output;
    case State::lingering:
        return Timing::linger;
    case State::closed:
        break;
    }
    return Timing::none;
}

void H1Connection::update_io() {
    if (state_ == State::closed) return;
    if (const bool want = wants_input(); want != reading_) {
        reading_ = want;
        transport_->want_readable(want);
    }
    const Timing wanted = wanted_timing();
    // The time for a body starts again with each piece; the others run on.
    if (wanted == timing_ && wanted != Timing::body) return;
    timing_ = wanted;
    taken_seen_ = bytes_taken();
    const Options& options = server_->options;
    switch (wanted) {
    case Timing::none:
        return;
    case Timing::head:
        return set_deadline(options.head_timeout);
    case Timing::keep_alive:
        return set_deadline(options.keep_alive);
    case Timing::body:
    case Timing::output:
        return set_deadline(options.body_timeout);
    case Timing::linger:
        return set_deadline(linger_time);
    }
}

/// A busy connection moves its deadline with each request; the wheel, and with it the neighbours in
/// its list, is touched only if it would wake us too late.
void H1Connection::set_deadline(std::chrono::milliseconds delay) {
    deadline_ = reactor_.now() + delay.count();
    if (armed() && wakes_at_ <= deadline_) return;
    wakes_at_ = deadline_;
    reactor_.timers().set(*this, delay);
}

std::uint64_t H1Connection::bytes_taken() const noexcept {
    return pushed_ - out_.queued_bytes();
}

void H1Connection::on_timer() {
    if (timing_ == Timing::none) return;
    if (const MonoMillis left = deadline_ - reactor_.now(); left > 0)
        return set_deadline(std::chrono::milliseconds{left});
    const bool progress = out_.empty() || bytes_taken() != taken_seen_;
    switch (std::exchange(timing_, Timing::none)) {
    case Timing::none:
        return;
    case Timing::head:
        // Who never sent a byte gets none either: a port scan, or a browser's spare connection.
        if (state_ != State::head) return fail();
        refuse({errc::head_timeout, {}});
        break;
    case Timing::keep_alive:
        if (out_.empty() || !progress) return fail();
        break;
    case Timing::body:
        if (state_ != State::body) return fail();
        refuse({errc::body_timeout, {}});
        break;
    case Timing::output:
        if (!progress) return fail();
        break;
    case Timing::linger:
        return fail();
    }
    park({}, {});
}

} // namespace fanfare::http
