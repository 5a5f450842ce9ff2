#pragma once
// An HTTP/2 server that does what the test says, on a thread of its own and a free port of the
// loopback. Requests are answered at once, or kept until the test has decided.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

struct nghttp2_session;
struct ssl_ctx_st;
struct ssl_st;

namespace fanfare::test {

struct H2ServerOptions {
    bool tls = false;
    std::string certificate_file;
    std::string key_file;
    std::string client_ca_file; // a client certificate of this one is required
    bool alpn = true;
    bool answer = true;      // 200 with the request's body, at once; else the test answers
    bool silent = false;     // accepts, and neither reads nor writes
    bool drop_first = false; // closes each connection when its first bytes have come
    std::uint32_t streams_max = 100;
    std::uint32_t window = 65'535;
    std::size_t write_bytes_max = 0; // of one write; 0: no limit
    bool settings = true;            // sends SETTINGS
    bool ignore_pings = false;       // by not reading any more after the first answer
};

class H2Server {
  public:
    struct Request {
        std::size_t connection = 0;
        std::int32_t stream = 0;
        std::map<std::string, std::string> headers; // pseudo ones too
        std::string body;
    };

    explicit H2Server(H2ServerOptions options = {});
    ~H2Server();
    H2Server(const H2Server&) = delete;
    H2Server& operator=(const H2Server&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// Requests that came complete so far, in that order.
    [[nodiscard]] std::vector<Request> requests();
    [[nodiscard]] std::size_t request_count();
    [[nodiscard]] std::size_t accepted();       // connections
    [[nodiscard]] std::size_t open();           // those that neither side has closed
    [[nodiscard]] std::size_t resumed();        // TLS sessions
    [[nodiscard]] std::size_t reset_by_peer();  // streams
    [[nodiscard]] std::size_t streams_high();   // most streams that were open at once
    [[nodiscard]] std::string client_subject(); // of the newest client certificate

    // --- what the test decides; connections count from 0, in the order they came ---
    void answer(const Request& to, int status, std::string body = {},
                std::vector<std::pair<std::string, std::string>> headers = {});
    void answer_all(int status); // that have none yet
    void reset(const Request& what, std::uint32_t error);
    void goaway(std::size_t connection, std::int32_t last_id, std::uint32_t error,
                const std::string& data);
    void shutdown_notice(std::size_t connection);
    void settings(std::size_t connection, std::uint16_t id, std::uint32_t value);
    void send_raw(std::size_t connection, const std::string& bytes);
    void close(std::size_t connection);
    void stop_reading(std::size_t connection);
    void set_answer(bool on);
    /// No more connections: they are refused from now on.
    void stop_listening();

  private:
    struct Connection;
    struct Callbacks;
    friend struct Callbacks;
    void run();
    void wake();
    void accept_one();
    void serve(Connection& connection, short events);
    bool read_some(Connection& connection);
    bool write_some(Connection& connection);
    void end(Connection& connection);
    void submit(Connection& connection, std::int32_t stream, int status, std::string body,
                const std::vector<std::pair<std::string, std::string>>& headers);
    void change(std::size_t connection, const std::function<void(Connection&)>& act);

    const H2ServerOptions options_;
    std::uint16_t port_ = 0;
    int listener_ = -1;
    int wake_fd_ = -1;
    ssl_ctx_st* tls_ = nullptr;
    std::mutex mutex_; // all that follows
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<Request> requests_;
    std::size_t resumed_ = 0;
    std::size_t resets_ = 0;
    std::size_t streams_high_ = 0;
    std::string client_subject_;
    bool answers_ = true;
    bool listening_ = true;
    bool stopped_ = false;
    std::thread thread_;
};

} // namespace fanfare::test
