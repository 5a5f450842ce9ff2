#include "h2_server.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <set>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fanfare::test {

struct H2Server::Connection {
    H2Server* server = nullptr;
    std::size_t index = 0;
    int fd = -1;
    SSL* ssl = nullptr;
    bool handshaken = false;
    bool reading = true;
    nghttp2_session* session = nullptr;
    std::string output;
    std::map<std::int32_t, Request> requests;   // not complete yet
    std::map<std::int32_t, std::string> bodies; // of answers, what is left
    std::set<std::int32_t> answered;
    std::size_t streams = 0;
};

namespace {

int choose_h2(SSL* /*ssl*/, const unsigned char** out, unsigned char* size,
              const unsigned char* offered, unsigned offered_size, void* /*user*/) {
    for (unsigned at = 0; at < offered_size; at += offered[at] + 1U)
        if (offered[at] == 2 && std::memcmp(offered + at + 1, "h2", 2) == 0) {
            *out = offered + at + 1;
            *size = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

SSL_CTX* make_tls(const H2ServerOptions& options) {
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
        throw std::runtime_error("the test server's certificate cannot be used");
    if (options.alpn) SSL_CTX_set_alpn_select_cb(context, choose_h2, nullptr);
    if (!options.client_ca_file.empty()) {
        SSL_CTX_load_verify_file(context, options.client_ca_file.c_str());
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    constexpr std::array<unsigned char, 4> id{'t', 'e', 's', 't'};
    SSL_CTX_set_session_id_context(context, id.data(), id.size());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

int listen_on_loopback(std::uint16_t& port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address); // NOLINT: what the kernel wants
    if (::bind(fd, any, size) != 0 || ::listen(fd, 128) != 0 || ::getsockname(fd, any, &size) != 0)
        throw std::runtime_error("the test server cannot listen");
    port = ntohs(address.sin_port);
    return fd;
}

} // namespace

/// What nghttp2 calls, on the server's thread with its mutex held. `user` is the connection.
struct H2Server::Callbacks {
    static Connection& self(void* user) { return *static_cast<Connection*>(user); }

    static int on_begin(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
        Connection& c = self(user);
        if (frame->hd.type != NGHTTP2_HEADERS) return 0;
        c.requests[frame->hd.stream_id] = Request{c.index, frame->hd.stream_id, {}, {}};
        c.server->streams_high_ = std::max(c.server->streams_high_, ++c.streams);
        return 0;
    }
    static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                         const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                         std::size_t value_size, std::uint8_t /*flags*/, void* user) {
        // NOLINTNEXTLINE: bytes
        std::string key{reinterpret_cast<const char*>(name), name_size};
        self(user).requests[frame->hd.stream_id].headers[key] = {
            reinterpret_cast<const char*>(value), value_size}; // NOLINT
        return 0;
    }
    static int on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                       const std::uint8_t* data, std::size_t size, void* user) {
        // NOLINTNEXTLINE: bytes
        self(user).requests[id].body.append(reinterpret_cast<const char*>(data), size);
        return 0;
    }
    static int on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
        Connection& c = self(user);
        if (frame->hd.type == NGHTTP2_RST_STREAM) ++c.server->resets_;
        if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
            return 0;
        const Request request = c.requests[frame->hd.stream_id];
        c.server->requests_.push_back(request);
        if (c.server->answers_) c.server->submit(c, request.stream, 200, request.body, {});
        return 0;
    }
    static int on_close(nghttp2_session* /*session*/, std::int32_t id, std::uint32_t /*error*/,
                        void* user) {
        Connection& c = self(user);
        if (c.requests.erase(id) != 0) --c.streams;
        c.bodies.erase(id);
        return 0;
    }
    static ssize_t read_body(nghttp2_session* /*session*/, std::int32_t id, std::uint8_t* to,
                             std::size_t size, std::uint32_t* flags,
                             nghttp2_data_source* /*source*/, void* user) {
        std::string& body = self(user).bodies[id];
        const std::size_t bytes = std::min(size, body.size());
        std::memcpy(to, body.data(), bytes);
        body.erase(0, bytes);
        if (body.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(bytes);
    }
    static nghttp2_session* open(Connection& c) {
        nghttp2_session_callbacks* table = nullptr;
        nghttp2_session_callbacks_new(&table);
        nghttp2_session_callbacks_set_on_begin_headers_callback(table, on_begin);
        nghttp2_session_callbacks_set_on_header_callback(table, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(table, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(table, on_close);
        nghttp2_session* session = nullptr;
        nghttp2_session_server_new(&session, table, &c);
        nghttp2_session_callbacks_del(table);
        return session;
    }
};

H2Server::H2Server(H2ServerOptions options)
    : options_(std::move(options)), listener_(listen_on_loopback(port_)),
      wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), answers_(options_.answer) {
    ::signal(SIGPIPE, SIG_IGN); // OpenSSL writes to sockets that the peer may have closed
    if (options_.tls) tls_ = make_tls(options_);
    thread_ = std::thread{[this] { run(); }};
}

H2Server::~H2Server() {
    {
        const std::lock_guard lock{mutex_};
        stopped_ = true;
    }
    wake();
    thread_.join();
    for (auto& connection : connections_) end(*connection);
    if (listener_ >= 0) ::close(listener_);
    ::close(wake_fd_);
    SSL_CTX_free(tls_);
}

void H2Server::wake() {
    ::eventfd_write(wake_fd_, 1);
}

void H2Server::run() {
    std::unique_lock lock{mutex_};
    while (!stopped_) {
        std::vector<pollfd> waits{{wake_fd_, POLLIN, 0}, {listening_ ? listener_ : -1, POLLIN, 0}};
        std::vector<Connection*> of;
        for (auto& c : connections_) {
            if (c->fd < 0 || options_.silent) continue;
            short events = c->reading ? POLLIN : 0;
            if (!c->output.empty()) events |= POLLOUT;
            waits.push_back({c->fd, events, 0});
            of.push_back(c.get());
        }
        lock.unlock();
        ::poll(waits.data(), waits.size(), 1'000);
        lock.lock();
        eventfd_t ignored = 0;
        ::eventfd_read(wake_fd_, &ignored);
        if ((waits[1].revents & POLLIN) != 0) accept_one();
        for (std::size_t i = 0; i < of.size(); ++i) serve(*of[i], waits[i + 2].revents);
    }
}

void H2Server::accept_one() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    auto c = std::make_unique<Connection>();
    c->server = this;
    c->index = connections_.size();
    c->fd = fd;
    if (tls_ != nullptr) {
        c->ssl = SSL_new(tls_);
        SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
    }
    c->session = Callbacks::open(*c);
    if (options_.settings) {
        const std::array entries{
            nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_.streams_max},
            nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.window}};
        nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
    }
    connections_.push_back(std::move(c));
}

void H2Server::serve(Connection& c, short events) {
    if (c.fd < 0) return;
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && c.reading && !read_some(c)) {
        end(c);
        return;
    }
    if (c.session == nullptr || (c.ssl != nullptr && !c.handshaken)) return;
    if (options_.settings)
        for (;;) {
            const std::uint8_t* data = nullptr;
            const ssize_t size = nghttp2_session_mem_send(c.session, &data);
            if (size <= 0) break;
            // NOLINTNEXTLINE: bytes
            c.output.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
        }
    if (!write_some(c)) end(c);
}

bool H2Server::read_some(Connection& c) {
    if (c.ssl != nullptr && !c.handshaken) {
        const int done = SSL_do_handshake(c.ssl);
        if (done != 1) {
            const int why = SSL_get_error(c.ssl, done);
            ERR_clear_error();
            return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
        }
        c.handshaken = true;
        if (SSL_session_reused(c.ssl) == 1) ++resumed_;
        if (X509* const peer = SSL_get1_peer_certificate(c.ssl)) {
            std::array<char, 256> text{};
            X509_NAME_oneline(X509_get_subject_name(peer), text.data(), text.size());
            client_subject_ = text.data();
            X509_free(peer);
        }
    }
    std::array<std::uint8_t, 65'536> bytes; // NOLINT: filled by the kernel
    for (;;) {
        ssize_t got = 0;
        if (c.ssl != nullptr) {
            got = SSL_read(c.ssl, bytes.data(), bytes.size());
            if (got <= 0) {
                const int why = SSL_get_error(c.ssl, static_cast<int>(got));
                ERR_clear_error();
                return why == SSL_ERROR_WANT_READ;
            }
        } else {
            got = ::recv(c.fd, bytes.data(), bytes.size(), 0);
            if (got < 0) return errno == EAGAIN;
            if (got == 0) return false;
        }
        if (options_.drop_first) return false;
        if (nghttp2_session_mem_recv(c.session, bytes.data(), static_cast<std::size_t>(got)) < 0)
            return false;
        if (options_.ignore_pings && !requests_.empty()) {
            c.reading = false;
            return true;
        }
    }
}

bool H2Server::write_some(Connection& c) {
    while (!c.output.empty()) {
        const std::size_t limit = options_.write_bytes_max;
        const std::size_t bytes = limit != 0 ? std::min(limit, c.output.size()) : c.output.size();
        ssize_t sent = 0;
        if (c.ssl != nullptr) {
            sent = SSL_write(c.ssl, c.output.data(), static_cast<int>(bytes));
            if (sent <= 0)
                return SSL_get_error(c.ssl, static_cast<int>(sent)) == SSL_ERROR_WANT_WRITE;
        } else {
            sent = ::send(c.fd, c.output.data(), bytes, MSG_NOSIGNAL);
            if (sent < 0) return errno == EAGAIN;
        }
        c.output.erase(0, static_cast<std::size_t>(sent));
        if (limit != 0) return true; // the rest another time
    }
    return true;
}

void H2Server::end(Connection& c) {
    if (c.fd < 0) return;
    SSL_free(c.ssl);
    c.ssl = nullptr;
    nghttp2_session_del(c.session);
    c.session = nullptr;
    ::close(c.fd);
    c.fd = -1;
}

void H2Server::submit(Connection& c, std::int32_t stream, int status, std::string body,
                      const std::vector<std::pair<std::string, std::string>>& headers) {
    if (c.requests.count(stream) == 0) return; // closed meanwhile
    if (status >= 200 && !c.answered.insert(stream).second) return;
    std::vector<std::pair<std::string, std::string>> all{{":status", std::to_string(status)}};
    all.insert(all.end(), headers.begin(), headers.end());
    std::vector<nghttp2_nv> fields;
    for (auto& [name, value] : all) {
        nghttp2_nv nv{};
        nv.name = reinterpret_cast<std::uint8_t*>(name.data());   // NOLINT: bytes
        nv.value = reinterpret_cast<std::uint8_t*>(value.data()); // NOLINT
        nv.namelen = name.size();
        nv.valuelen = value.size();
        fields.push_back(nv);
    }
    if (status < 200) { // an interim answer: more follows
        nghttp2_submit_headers(c.session, NGHTTP2_FLAG_NONE, stream, nullptr, fields.data(),
                               fields.size(), nullptr);
        return;
    }
    nghttp2_data_provider provider{};
    provider.read_callback = Callbacks::read_body;
    const bool has_body = !body.empty();
    if (has_body) c.bodies[stream] = std::move(body);
    nghttp2_submit_response(c.session, stream, fields.data(), fields.size(),
                            has_body ? &provider : nullptr);
}

void H2Server::change(std::size_t connection, const std::function<void(Connection&)>& act) {
    {
        const std::lock_guard lock{mutex_};
        Connection& c = *connections_.at(connection);
        if (c.fd >= 0) {
            act(c);
            if (c.fd >= 0) serve(c, 0);
        }
    }
    wake();
}

void H2Server::answer(const Request& to, int status, std::string body,
                      std::vector<std::pair<std::string, std::string>> headers) {
    change(to.connection, [&](Connection& c) { submit(c, to.stream, status, body, headers); });
}

void H2Server::answer_all(int status) {
    for (const Request& request : requests()) answer(request, status);
}

void H2Server::reset(const Request& what, std::uint32_t error) {
    change(what.connection, [&](Connection& c) {
        nghttp2_submit_rst_stream(c.session, NGHTTP2_FLAG_NONE, what.stream, error);
    });
}

void H2Server::goaway(std::size_t connection, std::int32_t last_id, std::uint32_t error,
                      const std::string& data) {
    change(connection, [&](Connection& c) {
        nghttp2_submit_goaway(c.session, NGHTTP2_FLAG_NONE, last_id, error,
                              // NOLINTNEXTLINE: bytes
                              reinterpret_cast<const std::uint8_t*>(data.data()), data.size());
    });
}

void H2Server::shutdown_notice(std::size_t connection) {
    change(connection, [](Connection& c) { nghttp2_submit_shutdown_notice(c.session); });
}

void H2Server::settings(std::size_t connection, std::uint16_t id, std::uint32_t value) {
    change(connection, [&](Connection& c) {
        const nghttp2_settings_entry entry{id, value};
        nghttp2_submit_settings(c.session, NGHTTP2_FLAG_NONE, &entry, 1);
    });
}

void H2Server::send_raw(std::size_t connection, const std::string& bytes) {
    change(connection, [&](Connection& c) { c.output += bytes; });
}

void H2Server::close(std::size_t connection) {
    change(connection, [this](Connection& c) { end(c); });
}

void H2Server::stop_reading(std::size_t connection) {
    change(connection, [](Connection& c) { c.reading = false; });
}

void H2Server::set_answer(bool on) {
    const std::lock_guard lock{mutex_};
    answers_ = on;
}

void H2Server::stop_listening() {
    const std::lock_guard lock{mutex_};
    listening_ = false;
    ::shutdown(listener_, SHUT_RDWR); // it refuses; closed when nobody can be waiting for it
}

std::vector<H2Server::Request> H2Server::requests() {
    const std::lock_guard lock{mutex_};
    return requests_;
}
std::size_t H2Server::request_count() {
    const std::lock_guard lock{mutex_};
    return requests_.size();
}
std::size_t H2Server::accepted() {
    const std::lock_guard lock{mutex_};
    return connections_.size();
}
std::size_t H2Server::open() {
    const std::lock_guard lock{mutex_};
    return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                  [](const auto& c) { return c->fd >= 0; }));
}
std::size_t H2Server::resumed() {
    const std::lock_guard lock{mutex_};
    return resumed_;
}
std::size_t H2Server::reset_by_peer() {
    const std::lock_guard lock{mutex_};
    return resets_;
}
std::size_t H2Server::streams_high() {
    const std::lock_guard lock{mutex_};
    return streams_high_;
}
std::string H2Server::client_subject() {
    const std::lock_guard lock{mutex_};
    return client_subject_;
}

} // namespace fanfare::test
