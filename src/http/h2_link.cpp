#include "h2_link.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/net/reactor.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace fanfare::http {
namespace {

// Full buffers read in one event before the others of the reactor have their turn.
constexpr int reads_per_event = 4;
constexpr MonoMillis never = std::numeric_limits<MonoMillis>::max();

std::string text_of(int error) {
    return std::generic_category().message(error);
}

/// Starts a link in a later event, so that nothing is told from within `send`.
struct Begin {
    net::Reactor* reactor;
    net::Handle link;
    std::unique_ptr<SocketAddresses> addresses;
    void operator()() const {
        if (net::Owned* const found = reactor->find(link))
            static_cast<ResolveHandler*>(found)->on_resolved(std::move(*addresses), "");
    }
};

} // namespace

std::string_view name_of(H2LinkEnd end) noexcept {
    constexpr std::array<std::string_view, 10> names{"lost", "idle",  "closed", "dns",   "guard",
                                                     "tcp",  "proxy", "tls",    "http2", "timeout"};
    return names[static_cast<std::size_t>(end)];
}

H2Link::H2Link(H2LinkShared& shared) : shared_(shared), options_(shared.options) {}

H2Link::~H2Link() {
    if (!ended() && !silent_) shared_.host.on_link_destroyed(*this);
}

MonoMillis H2Link::now() const noexcept {
    return shared_.reactor.now();
}

void H2Link::start() {
    const bool proxied = !options_.proxy.host.empty();
    const std::string& host = proxied ? options_.proxy.host : options_.host;
    const std::uint16_t port = proxied ? options_.proxy.port : options_.port;
    connect_due_ = now() + options_.connect_timeout.count();
    wake_by(connect_due_);
    SocketAddresses addresses = parse_address(host, port);
    if (addresses.empty())
        resolve(shared_.resolver, handle(), host, port);
    else
        shared_.reactor.post(Begin{&shared_.reactor, handle(),
                                   std::make_unique<SocketAddresses>(std::move(addresses))});
}

void H2Link::on_resolved(SocketAddresses addresses, const std::string& error) {
    if (state_ != State::resolving) return; // closed meanwhile
    if (addresses.empty()) {
        fail(H2LinkEnd::dns, "name not resolved: " + error);
        return;
    }
    addresses_ = std::move(addresses);
    first_ = shared_.address_turn++;
    connect_next();
}

void H2Link::connect_next() {
    state_ = State::connecting;
    const bool guarded = options_.address_guard && options_.proxy.host.empty();
    bool refused = false;
    while (tried_ < addresses_.size()) {
        const SocketAddress& address = addresses_[(first_ + tried_++) % addresses_.size()];
        if (guarded && !options_.address_guard(address.get())) {
            refused = true;
            continue;
        }
        if (!connect_to(address)) continue;
        // An address that swallows everything must not take the time of those behind it.
        const auto left = static_cast<MonoMillis>(addresses_.size() - tried_ + 1);
        address_due_ = now() + std::max<MonoMillis>((connect_due_ - now()) / left, 1);
        wake_by(address_due_);
        return;
    }
    if (refused && last_error_.empty())
        fail(H2LinkEnd::guard, "the address is not allowed");
    else
        fail(H2LinkEnd::tcp, "not connected: " + last_error_);
}

bool H2Link::connect_to(const SocketAddress& address) {
    const int fd = ::socket(address.get().sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        last_error_ = text_of(errno);
        return false;
    }
    if (::connect(fd, &address.get(), address.size) != 0 && errno != EINPROGRESS) {
        last_error_ = text_of(errno);
        ::close(fd);
        return false;
    }
    transport_ = net::make_plain_transport(shared_.reactor, fd, *this, nullptr);
    if (!transport_) {
        last_error_ = "the kernel watches no more descriptors";
        return false;
    }
    fd_ = fd;
    transport_->want_writable(true);
    return true;
}

void H2Link::drop_transport() {
    if (!transport_) return;
    transport_->close();
    dropped_.push_back(std::move(transport_));
    fd_ = -1;
}

void H2Link::on_connected() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        last_error_ = text_of(error);
        drop_transport();
        connect_next();
        return;
    }
    transport_->want_writable(false);
    if (options_.proxy.host.empty()) {
        begin_tls();
        return;
    }
    state_ = State::proxy;
    proxy_answer_ = std::make_unique<ProxyConnectAnswer>();
    // With the port, always: CONNECT has no default (RFC 9110 §9.3.6).
    const bool v6 = options_.host.find(':') != std::string::npos;
    proxy_output_.append(proxy_connect_request((v6 ? '[' + options_.host + ']' : options_.host) +
                                                   ':' + std::to_string(options_.port),
                                               options_.proxy.user, options_.proxy.password));
    touched_ = true;
}

void H2Link::begin_tls() {
    if (shared_.tls == nullptr) {
        begin_session();
        return;
    }
    state_ = State::tls;
    tls_ = std::make_unique<TlsClient>(*shared_.tls, options_.host);
    touched_ = true;
    if (!tls_->receive({}, *this)) fail(H2LinkEnd::tls, tls_->error());
}

void H2Link::begin_session() {
    state_ = State::settling;
    session_ = std::make_unique<H2Session>(
        H2Session::Limits{options_.initial_streams, options_.streams_max, options_.first_stream_id},
        shared_.streams, shared_.tls != nullptr ? "https" : "http", shared_.authority);
    touched_ = true;
}

void H2Link::on_writable() {
    if (state_ == State::connecting) {
        on_connected();
        if (touched_) flush();
        return;
    }
    if (blocked_) {
        blocked_ = false;
        transport_->want_writable(false);
        touched_ = true;
        flush();
        // There may be room again.
        if (ready() && session_->room() != 0) shared_.host.on_link_settings(*this);
    }
}

void H2Link::on_readable() {
    if (state_ == State::connecting) {
        on_connected(); // an error, reported without EPOLLOUT
        return;
    }
    for (int reads = 0; reads < reads_per_event && transport_; ++reads) {
        const std::span<std::byte> buffer = shared_.reactor.read_buffer();
        const Result<std::size_t> got = transport_->read(buffer);
        if (!got) {
            if (got.error() == boost::asio::error::would_block) break;
            last_error_ = got.error().message();
            lose("connection lost");
            return;
        }
        if (*got == 0) {
            lose("connection closed by the peer");
            return;
        }
        receive(buffer.first(*got));
        if (*got < buffer.size()) break;
    }
    if (!ended()) after_events();
}

void H2Link::receive(std::span<const std::byte> bytes) {
    touched_ = true;
    heard_ = now();
    if (state_ == State::proxy) {
        bytes = bytes.subspan(proxy_answer_->feed(bytes));
        if (!proxy_answer_->failed().empty()) {
            fail(H2LinkEnd::proxy, proxy_answer_->failed());
            return;
        }
        if (!proxy_answer_->open()) return;
        begin_tls();
        if (ended() || bytes.empty()) return;
    }
    if (tls_) {
        if (!tls_->receive(bytes, *this)) {
            if (ready())
                lose("TLS failed");
            else
                fail(H2LinkEnd::tls, tls_->error());
            return;
        }
        // The server's first bytes may have come with its last ones of the handshake.
        if (tls_->ready() && !session_) begin_session();
        if (tls_->ended()) lose("connection closed by the peer");
        return;
    }
    on_plain(bytes);
}

bool H2Link::on_plain(std::span<const std::byte> bytes) {
    if (!session_) begin_session();
    return session_->receive(bytes);
}

void H2Link::after_events() {
    if (!session_) return;
    if (session_->has_news()) tell_news();
    if (ended()) return;
    deliver();
    if (*session_->broken() != 0)
        lose(session_->broken());
    else if (session_->over())
        lose(session_->open() != 0 ? "the peer broke the protocol" : "");
    else if (session_->draining() && session_->open() == 0)
        close(H2LinkEnd::lost, false); // ids at their end: the peer knows nothing of it
    else
        note_idle();
}

void H2Link::tell_news() {
    const H2Session::News news = session_->take_news();
    if (state_ == State::settling && session_->settled()) {
        state_ = State::ready;
        was_ready_ = true;
        idle_since_ = heard_ = now();
        transport_->set_established();
        shared_.host.on_link_ready(*this);
        retime();
    } else if (news.settings) {
        shared_.host.on_link_settings(*this);
    }
    tell_goaway(news);
}

void H2Link::tell_goaway(const H2Session::News& news) {
    if (news.goaways != 0)
        shared_.host.on_link_goaway(*this, news.goaways, news.goaway_error, news.goaway_data);
}

void H2Link::deliver() {
    if (session_->answered() && !std::exchange(told_answered_, true))
        shared_.host.on_link_answered(*this);
    while (H2Stream* const stream = session_->take_finished()) {
        H2Answer answer;
        answer.kind = stream->kind;
        if (stream->kind == H2Answer::Kind::response) {
            answer.truncated = stream->truncated;
            answer.status = stream->status;
            answer.body = stream->body;
            answer.packed_headers = stream->head;
        } else {
            answer.reason = stream->reason;
            answer.torn = stream->torn;
        }
        stream->caller->on_answer(stream->tag, answer);
        shared_.streams.give_back(stream);
    }
}

void H2Link::send(const H2Request& request, H2Caller& caller, std::uint64_t tag, MonoMillis due) {
    if (session_->open() == 0) {
        heard_ = now();
        wake_by(heard_ + options_.ping_busy.count());
    }
    touched_ = true;
    wake_by(due);
    // A session that breaks by it ends at the end of the turn.
    static_cast<void>(session_->submit(request, caller, tag, due));
}

void H2Link::renew() {
    if (!ready() || draining()) return;
    renewed_ = true;
    session_->drain();
    touched_ = true;
}

OutBytes& H2Link::wire() noexcept {
    if (tls_) return tls_->output();
    if (session_) return session_->output();
    return proxy_output_;
}

void H2Link::flush() {
    if (!touched_ || !transport_ || state_ == State::connecting) return;
    touched_ = false;
    while (fill_wire() && !blocked_) write();
    if (!ended() && session_) after_events();
}

/// What waits in the session goes on the wire. False: there is nothing to write.
bool H2Link::fill_wire() {
    if (session_) {
        session_->pump();
        if (tls_ && tls_->output().empty()) {
            OutBytes& plain = session_->output();
            if (!tls_->send(plain.unsent())) {
                lose("TLS failed");
                return false;
            }
            plain.consume(plain.size());
        }
    }
    return !wire().empty();
}

void H2Link::write() {
    OutBytes& output = wire();
    while (!output.empty()) {
        const std::string_view bytes = output.unsent();
        // NOLINTNEXTLINE: the kernel only reads
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        const Result<std::size_t> sent = transport_->write({&piece, 1});
        if (!sent) {
            if (sent.error() == boost::asio::error::would_block) {
                blocked_ = true;
                transport_->want_writable(true);
                return;
            }
            // What the peer said before it closed is still to be read: it may be a GOAWAY that
            // tells which requests were processed. The read that follows finds the end.
            output.consume(output.size());
            return;
        }
        output.consume(*sent);
    }
}

void H2Link::end(H2LinkEnd how, const std::string& text, const char* reason) {
    if (ended()) return;
    state_ = State::ended;
    cancel();
    drop_transport();
    if (session_) session_->end_all(reason);
    if (silent_) return;
    shared_.host.on_link_ended(*this, how, text);
    if (session_) deliver();
}

void H2Link::fail(H2LinkEnd how, const std::string& text) {
    end(how, text, "");
}

void H2Link::lose(const char* reason) {
    if (session_ && session_->has_news()) tell_goaway(session_->take_news()); // its last words
    switch (state_) {
    case State::proxy:
        fail(H2LinkEnd::proxy, std::string{reason} + " (proxy)");
        break;
    case State::tls:
        fail(H2LinkEnd::tls, std::string{reason} + " during the TLS handshake");
        break;
    case State::settling:
        fail(H2LinkEnd::http2,
             std::string{*reason != 0 ? reason : "closed"} + " before its SETTINGS");
        break;
    default:
        end(H2LinkEnd::lost, reason, *reason != 0 ? reason : "connection closed");
    }
}

void H2Link::close(H2LinkEnd how, bool silently) {
    silent_ = silently;
    if (ready() && !blocked_) { // politely, as far as the kernel takes it
        session_->drain();
        session_->pump();
        OutBytes& plain = session_->output();
        if (tls_ && tls_->output().empty() && tls_->send(plain.unsent())) {
            plain.consume(plain.size());
            tls_->shutdown();
        }
        write();
    }
    end(how, "closed", "closed");
    if (!silently) return;
    session_.reset(); // it returns its streams to the pool, which is about to go
    tls_.reset();
}

void H2Link::on_timer() {
    timer_due_ = 0;
    if (connecting()) {
        if (now() >= connect_due_) {
            constexpr std::array names{"name lookup", "TCP", "the proxy", "TLS handshake",
                                       "SETTINGS"};
            fail(H2LinkEnd::timeout,
                 std::string{"no connection in time: "} + names[static_cast<std::size_t>(state_)]);
            return;
        }
        if (state_ == State::connecting && now() >= address_due_) {
            last_error_ = "no answer from the address";
            drop_transport();
            connect_next();
        }
    } else if (ready()) {
        if (idle_too_long()) {
            close(H2LinkEnd::idle, false);
            return;
        }
        session_->expire(now());
        check_ping();
        touched_ = true;
        if (!ended()) after_events();
    }
    if (!ended()) retime();
}

void H2Link::check_ping() {
    if (session_->ping_pending()) {
        if (now() < pinged_ + options_.ping_timeout.count()) return;
        shared_.host.on_link_ping_lost(*this);
        lose("the peer does not answer a PING");
        return;
    }
    const auto wait = session_->open() != 0 ? options_.ping_busy : options_.ping_idle;
    if (now() < std::max(heard_, pinged_) + wait.count()) return;
    session_->ping();
    pinged_ = now();
}

void H2Link::note_idle() {
    if (session_->open() != 0) {
        busy_ = true;
    } else if (std::exchange(busy_, false)) {
        idle_since_ = now();
        retime();
    }
}

bool H2Link::idle_too_long() const noexcept {
    const auto timeout = shared_.host.idle_timeout(*this);
    return session_->open() == 0 && timeout.count() != 0 && now() >= idle_since_ + timeout.count();
}

void H2Link::retime() {
    if (connecting()) {
        wake_by(state_ == State::connecting ? std::min(address_due_, connect_due_) : connect_due_);
        return;
    }
    MonoMillis due = never;
    if (const H2Stream* const first = session_->first_due()) due = first->due;
    if (session_->ping_pending()) {
        due = std::min(due, pinged_ + options_.ping_timeout.count());
    } else {
        const auto wait = session_->open() != 0 ? options_.ping_busy : options_.ping_idle;
        due = std::min(due, std::max(heard_, pinged_) + wait.count());
    }
    if (session_->open() == 0) {
        const auto timeout = shared_.host.idle_timeout(*this);
        if (timeout.count() != 0) due = std::min(due, idle_since_ + timeout.count());
    }
    wake_by(due);
}

void H2Link::wake_by(MonoMillis time) {
    if (timer_due_ != 0 && timer_due_ <= time) return;
    timer_due_ = time;
    shared_.reactor.timers().set(*this,
                                 std::chrono::milliseconds{std::max<MonoMillis>(time - now(), 0)});
}

} // namespace fanfare::http
