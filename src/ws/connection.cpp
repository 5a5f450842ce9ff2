#include "connection.hpp"

#include <fanfare/base/log.hpp>

#include <boost/asio/error.hpp>

#include <array>
#include <cstring>
#include <exception>
#include <utility>

namespace fanfare::ws {
namespace {

using session::CloseReason;

CloseCode code_of(CloseReason reason) {
    switch (reason) {
    case CloseReason::normal:
        return CloseCode::normal;
    case CloseReason::drain:
        return CloseCode::going_away;
    case CloseReason::protocol:
        return CloseCode::protocol_error;
    case CloseReason::binary:
        return CloseCode::unsupported_data;
    case CloseReason::bad_utf8:
        return CloseCode::invalid_payload;
    case CloseReason::too_big:
        return CloseCode::too_big;
    case CloseReason::internal:
        return CloseCode::internal_error;
    case CloseReason::overloaded:
        return CloseCode::try_again_later;
    case CloseReason::not_an_object:
        return CloseCode::not_an_object;
    case CloseReason::unauthorized:
        return CloseCode::unauthorized;
    case CloseReason::disconnected:
        return CloseCode::disconnected;
    case CloseReason::slow_consumer:
        return CloseCode::slow_consumer;
    case CloseReason::idle:
        return CloseCode::idle;
    case CloseReason::rate:
        return CloseCode::rate_limited;
    }
    return CloseCode::internal_error;
}

// Parsers of JSON read up to this far behind the text.
constexpr std::size_t padding = net::Reactor::read_slack;

} // namespace

struct Connection::CloseTimer final : net::TimerWheel::Timer {
    explicit CloseTimer(Connection& owner) : connection(owner) {}
    void on_timer() override { connection.die(); }
    Connection& connection;
};

Connection::Connection(Service::Shared& shared, std::unique_ptr<net::Transport> transport,
                       const Agreed& agreed)
    : shared_(shared), transport_(std::move(transport)), protocol_(*agreed.protocol),
      reader_(agreed.deflate_receive), deflate_send_(agreed.deflate_send),
      session_(shared.sessions, *this,
               agreed.deflate_send ? room::Form::ws_json_deflate : room::Form::ws_json, true) {
    transport_->set_handler(*this);
    out_.attach(transport_.get());
    shared_.connections.add(1);
}

Connection::~Connection() {
    session_.end();
    out_.attach(nullptr);
    shared_.connections.add(-1);
}

void Connection::start(std::string_view response_head, session::IdentityRef identity,
                       std::string leftover) {
    out_.push(LocalBytes::copy_of(response_head));
    session_.open(std::move(identity));
    if (leftover.empty() || state_ != State::open) return;
    feed(std::as_writable_bytes(std::span{leftover.data(), leftover.size()}), false);
}

// --- in ---

void Connection::on_readable() {
    if (state_ == State::dead) return;
    const std::span<std::byte> buffer = shared_.sessions.reactor().read_buffer();
    const Result<std::size_t> got = transport_->read(buffer);
    if (!got) {
        if (got.error() != boost::asio::error::would_block) die();
        return;
    }
    if (*got == 0) {
        // The end without (or after) a Close: nothing more can be said to it that it would wait
        // for.
        die();
        return;
    }
    shared_.bytes_in.add(*got);
    if (state_ == State::finished) return; // late bytes are read only so that no RST answers them
    session_.heard();
    feed(buffer.first(*got), true);
}

void Connection::feed(std::span<std::byte> bytes, bool slack) {
    const ReaderLimits limits{shared_.sessions.options().message_bytes_max, 128 * 1024};
    while (state_ == State::open || state_ == State::closing) {
        const MessageReader::Event event = reader_.next(bytes, limits, shared_.inflater);
        if (event.kind == MessageReader::Kind::need_more) return;
        on_event(event, slack);
    }
}

void Connection::on_event(const MessageReader::Event& event, bool slack) {
    using Kind = MessageReader::Kind;
    if (event.kind == Kind::close) {
        // Answered with the same code, then FIN; if we spoke first, this is the answer.
        if (state_ == State::open) {
            session_.end();
            std::array<char, control_payload_bytes_max> payload; // NOLINT: written below
            const std::size_t size = write_close(payload.data(), event.code, {});
            push_frame(Opcode::close, {payload.data(), size});
        }
        finish();
        return;
    }
    if (state_ == State::closing) {
        if (event.kind == Kind::fault) finish();
        return; // messages and pings after our Close are dropped
    }
    switch (event.kind) {
    case Kind::text:
        on_text(as_text(event.payload), slack);
        return;
    case Kind::binary:
        close(CloseReason::binary, "this protocol has text frames only");
        return;
    case Kind::ping:
        answer_ping(event.payload);
        return;
    case Kind::fault:
        // The peer's frames cannot be told apart any more: no Close of its own is waited for.
        begin_close(event.code, event.reason);
        finish();
        return;
    case Kind::pong:
    case Kind::close:
    case Kind::need_more:
        return;
    }
}

void Connection::on_text(std::string_view text, bool slack) {
    // What fails here (memory, a bug) is this client's loss, not the process's.
    try {
        handle_text(text, slack);
    } catch (const std::exception& error) {
        log::error("request_failed", {{"session", session_.id()}, {"error", error.what()}});
        close(CloseReason::internal, "the request could not be handled");
    }
}

void Connection::handle_text(std::string_view text, bool slack) {
    // The reactor's buffer has slack behind its end; bytes kept elsewhere are copied to get some.
    const auto buffer = as_text(shared_.sessions.reactor().read_buffer());
    const bool in_buffer = slack && text.data() >= buffer.data() &&
                           text.data() + text.size() <= buffer.data() + buffer.size();
    if (!in_buffer) {
        shared_.padded.assign(text);
        shared_.padded.append(padding, '\0');
        text = std::string_view{shared_.padded}.substr(0, text.size());
    }
    protocol_.on_text(session_, text);
    if (shared_.padded.capacity() > std::size_t{1024} * 1024) std::string{}.swap(shared_.padded);
}

void Connection::answer_ping(ByteView payload) {
    // One pending answer at most: a peer that pings and does not read costs one payload.
    if (out_.blocked()) {
        extra().pong = as_text(payload);
        return;
    }
    push_frame(Opcode::pong, as_text(payload));
}

// --- out ---

void Connection::push_frame(Opcode opcode, std::string_view payload) {
    std::string& frame = shared_.frame;
    frame.resize(server_header_bytes_max);
    const std::size_t header = write_header(frame.data(), opcode, false, payload.size());
    frame.resize(header);
    frame.append(payload);
    out_.push(LocalBytes::copy_of(frame));
    if (frame.capacity() > std::size_t{1024} * 1024) std::string{}.swap(frame);
}

void Connection::send_text(std::string_view text) {
    const session::Options& options = shared_.sessions.options();
    if (out_.queued_bytes() > options.send_queue_max) {
        shared_.sessions.slow_consumers.add();
        close(CloseReason::slow_consumer, "the client reads too slowly");
        return;
    }
    if (deflate_send_ && text.size() >= options.deflate_min) {
        if (const auto small = shared_.deflater.compress(as_byte_view(text))) {
            std::string& frame = shared_.frame;
            frame.resize(server_header_bytes_max);
            frame.resize(write_header(frame.data(), Opcode::text, true, small->size()));
            frame.append(as_text(*small));
            out_.push(LocalBytes::copy_of(frame));
            return;
        }
    }
    push_frame(Opcode::text, text);
}

void Connection::ping() {
    transport_->set_established(); // it has been here for a heartbeat
    out_.push(shared_.ping);
}

void Connection::on_drained() {
    if (extra_ && extra_->pong && state_ == State::open) {
        const std::string payload = *std::exchange(extra_->pong, std::nullopt);
        extra_.reset(); // an open connection has nothing else in it
        push_frame(Opcode::pong, payload);
    }
    if (state_ == State::open) {
        session_.drained();
    } else if (state_ == State::finished && !fin_sent_) {
        // RFC 6455 §7.1.1: the server ends TCP first. The peer's end is awaited, so that unread
        // input does not turn the close into a reset that destroys our Close on its way.
        fin_sent_ = true;
        transport_->shutdown_send();
    }
}

void Connection::on_write_failed(error_code /*why*/) {
    die();
}

// --- the end ---

void Connection::close(CloseReason reason, std::string_view detail) {
    if (state_ != State::open) return;
    if (reason == CloseReason::slow_consumer) out_.drop_unsent();
    begin_close(code_of(reason), detail);
}

void Connection::begin_close(CloseCode code, std::string_view reason) {
    session_.end();
    if (extra_) extra_->pong.reset();
    std::array<char, control_payload_bytes_max> payload; // NOLINT: written below
    const std::size_t size = write_close(payload.data(), code, reason);
    push_frame(Opcode::close, {payload.data(), size});
    state_ = State::closing;
    if (log::enabled(log::Level::debug))
        log::debug(
            "websocket_closed",
            {{"session", session_.id()}, {"code", static_cast<int>(code)}, {"reason", reason}});
    set_close_timer();
}

Connection::Extra& Connection::extra() {
    if (!extra_) extra_ = std::make_unique<Extra>();
    return *extra_;
}

void Connection::set_close_timer() {
    std::unique_ptr<CloseTimer>& timer = extra().close_timer;
    if (!timer) timer = std::make_unique<CloseTimer>(*this);
    shared_.sessions.reactor().timers().set(*timer, shared_.sessions.options().close_timeout);
}

void Connection::finish() {
    state_ = State::finished;
    set_close_timer();
    if (out_.empty()) on_drained();
}

void Connection::die() {
    if (state_ == State::dead) return;
    state_ = State::dead;
    session_.end();
    if (extra_ && extra_->close_timer) extra_->close_timer->cancel();
    out_.clear();
    out_.attach(nullptr);
    transport_->close();
    shared_.sessions.reactor().retire(handle());
}

} // namespace fanfare::ws
