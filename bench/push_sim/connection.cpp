#include "connection.hpp"

#include "h1_session.hpp"
#include "h2_session.hpp"
#include "worker.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sim {
namespace {

constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n";
constexpr long again = -1;
constexpr long over = 0;
constexpr std::size_t tls_record = 16 * 1024;

} // namespace

Connection::Connection(Worker& worker, Desk& desk, const Tls* tls, int fd, std::uint64_t number)
    : worker_(worker), desk_(desk), tls_(tls), fd_(fd) {
    peer_.connection = number;
    peer_.secure = tls != nullptr;
    desk_.counters.add(Count::connections);
    desk_.counters.add(Count::connections_open);
}

Connection::~Connection() {
    if (state_ != State::closed) close(false);
}

void Connection::start() {
    if (desk_.settings.blocked || worker_.is_too_fast(desk_)) {
        desk_.counters.add(Count::blocked);
        return close(true);
    }
    if (desk_.drops(DropAt::accept)) return close(true);
    if (desk_.settings.handshake == Handshake::hang) return;
    if (desk_.settings.handshake_delay > Duration::zero()) {
        return schedule(desk_.settings.handshake_delay, due_handshake);
    }
    begin();
}

void Connection::begin() {
    worker_.poller().add(fd_, wanted_ = EPOLLIN, *this);
    if (tls_ == nullptr) {
        state_ = State::sniffing;
        return;
    }
    const Settings& settings = desk_.settings;
    const bool any = settings.handshake != Handshake::no_alpn;
    alpn_ = {.http2 = any && settings.versions != Versions::http1,
             .http1 = any && settings.versions != Versions::http2};
    ssl_ = tls_->open(desk_.id(), settings.handshake, alpn_);
    if (ssl_ == nullptr || ::SSL_set_fd(ssl_, fd_) != 1) return close(true);
    state_ = State::handshake;
}

void Connection::on_events(std::uint32_t /*events*/) {
    switch (state_) {
    case State::handshake:
        shake_hands();
        break;
    case State::sniffing:
    case State::open:
    case State::lingering:
        read_all();
        break;
    case State::waiting:
    case State::frozen:
    case State::closed:
        return;
    }
    settle();
}

void Connection::shake_hands() {
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(ssl_);
    if (result != 1) {
        const int error = ::SSL_get_error(ssl_, result);
        if (error == SSL_ERROR_WANT_READ) return want(EPOLLIN);
        if (error == SSL_ERROR_WANT_WRITE) return want(EPOLLOUT);
        desk_.counters.add(Count::handshakes_failed);
        return close(false);
    }
    desk_.counters.add(Count::handshakes);
    if (desk_.id() == ServiceId::apns && ::SSL_get0_peer_certificate(ssl_) != nullptr) {
        peer_.certificate_mode = true;
        peer_.certificate = client_certificate(ssl_);
    }
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    ::SSL_get0_alpn_selected(ssl_, &protocol, &size);
    const bool http2 = size == 2;
    // A client that offers no ALPN speaks HTTP/1.1, which APNs does not.
    if (!http2 && desk_.settings.versions == Versions::http2) return close(false);
    open(http2);
    if (state_ == State::open) read_all();
}

void Connection::sniff(std::string_view bytes) {
    sniffed_.append(bytes);
    const std::size_t common = std::min(sniffed_.size(), http2_preface.size());
    const bool same =
        std::string_view{sniffed_}.substr(0, common) == http2_preface.substr(0, common);
    if (same && common < http2_preface.size()) return;
    const Versions versions = desk_.settings.versions;
    if (same ? versions == Versions::http1 : versions == Versions::http2) return close(true);
    open(same);
    if (state_ != State::open) return;
    if (!protocol_->receive(sniffed_)) ended_ = true;
    sniffed_.clear();
}

void Connection::open(bool http2) {
    if (desk_.drops(DropAt::settings)) return close(true);
    state_ = State::open;
    Carrier& carrier = *this;
    if (http2) {
        protocol_ = std::make_unique<H2Session>(carrier, desk_, peer_);
    } else {
        protocol_ = std::make_unique<H1Session>(carrier, desk_, peer_);
    }
}

void Connection::read_all() {
    // Bounded, so that one busy connection does not keep the others waiting.
    constexpr int reads_max = 8;
    std::string& buffer = worker_.scratch();
    for (int i = 0; i < reads_max && !doomed_ && !ended_; ++i) {
        const long n = read_some(buffer.data(), buffer.size());
        if (n == again) return;
        if (n == over) {
            ended_ = true;
            return;
        }
        const std::string_view bytes{buffer.data(), static_cast<std::size_t>(n)};
        if (state_ == State::sniffing) {
            sniff(bytes);
        } else if (state_ == State::open) {
            if (!protocol_->receive(bytes)) ended_ = true;
        }
        if (state_ == State::closed) return;
        const bool emptied = ssl_ == nullptr && static_cast<std::size_t>(n) < buffer.size();
        if (emptied) return;
    }
}

long Connection::read_some(char* into, std::size_t size) {
    if (ssl_ == nullptr) {
        const ssize_t n = ::recv(fd_, into, size, 0);
        if (n > 0) return n;
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? again : over;
    }
    // Several records per call to the protocol: it answers once per batch.
    std::size_t got = 0;
    while (size - got >= tls_record) {
        ::ERR_clear_error();
        std::size_t n = 0;
        if (::SSL_read_ex(ssl_, into + got, size - got, &n) == 1) {
            got += n;
            continue;
        }
        if (got > 0) break;
        return ::SSL_get_error(ssl_, 0) == SSL_ERROR_WANT_READ ? again : over;
    }
    return static_cast<long>(got);
}

long Connection::write_some(std::string_view bytes) {
    if (ssl_ == nullptr) {
        const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n > 0) return n;
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? again : over;
    }
    ::ERR_clear_error();
    std::size_t n = 0;
    if (::SSL_write_ex(ssl_, bytes.data(), bytes.size(), &n) == 1) return static_cast<long>(n);
    return ::SSL_get_error(ssl_, 0) == SSL_ERROR_WANT_WRITE ? again : over;
}

/// Sends what the protocol has; then decides whether the connection goes on.
void Connection::flush() {
    while (true) {
        if (out_sent_ == out_.size()) {
            out_.clear();
            out_sent_ = 0;
            protocol_->produce(out_);
            if (out_.empty()) break;
        }
        const long n = write_some(std::string_view{out_}.substr(out_sent_));
        if (n == again) return want(EPOLLIN | EPOLLOUT);
        if (n == over) return close(false);
        out_sent_ += static_cast<std::size_t>(n);
    }
    want(EPOLLIN);
    if (protocol_->finished()) linger();
}

/// The end of every turn.
void Connection::settle() {
    if (state_ == State::closed || state_ == State::frozen) return;
    if (doomed_) return close(true);
    if (state_ == State::open) flush();
    if (state_ == State::closed || !ended_) return;
    close(false);
}

// Closing with unread bytes would be a reset, which may overtake the GOAWAY just sent.
void Connection::linger() {
    protocol_->abandon("connection_ended");
    state_ = State::lingering;
    if (ssl_ != nullptr) ::SSL_shutdown(ssl_);
    ::shutdown(fd_, SHUT_WR);
    schedule(milliseconds(1000), due_linger);
}

void Connection::on_due(std::int32_t what) {
    if (what == due_handshake) {
        if (state_ == State::waiting) begin();
    } else if (what == due_linger) {
        if (state_ == State::lingering) close(false);
    } else if (state_ == State::open) {
        protocol_->on_due(what);
        settle();
    }
}

void Connection::on_command(const Command& command) {
    if (state_ == State::closed) return;
    if (command.kind == Command::Kind::drop) return close(true);
    if (command.kind == Command::Kind::freeze) {
        if (state_ != State::waiting && state_ != State::frozen) worker_.poller().remove(fd_);
        state_ = State::frozen;
        return;
    }
    if (state_ != State::open) return;
    protocol_->on_command(command);
    settle();
}

void Connection::schedule(Duration after, std::int32_t what) {
    worker_.timers().add({Clock::now() + after, peer_.connection, what});
}

void Connection::drop() {
    doomed_ = true;
}

void Connection::want(std::uint32_t events) {
    if (wanted_ == events || state_ == State::closed) return;
    worker_.poller().modify(fd_, wanted_ = events, *this);
}

void Connection::close(bool reset) {
    if (protocol_) protocol_->abandon(reset ? "dropped" : "connection_lost");
    state_ = State::closed;
    if (reset) {
        const struct linger now { .l_onoff = 1, .l_linger = 0 };
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    ::SSL_free(ssl_);
    ssl_ = nullptr;
    ::close(fd_);
    desk_.counters.add(Count::connections_open, -1);
    worker_.bury(*this);
}

} // namespace sim
