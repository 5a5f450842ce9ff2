// One TCP connection: the socket, TLS, the choice of the protocol, and the faults below HTTP.
#pragma once

#include "desk.hpp"
#include "poller.hpp"
#include "protocol.hpp"
#include "tls.hpp"

#include <openssl/types.h>

#include <memory>
#include <string>

namespace sim {

class Worker;

class Connection final : public Pollable, private Carrier {
  public:
    /// Takes `fd`, which does not block. `tls` null: plain.
    Connection(Worker& worker, Desk& desk, const Tls* tls, int fd, std::uint64_t number);
    ~Connection() override;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Begins; the connection may be over at once.
    void start();
    void on_events(std::uint32_t events) override;
    void on_due(std::int32_t what);
    void on_command(const Command& command);

    [[nodiscard]] std::uint64_t number() const { return peer_.connection; }
    [[nodiscard]] Desk& desk() { return desk_; }

  private:
    enum class State : std::uint8_t {
        waiting,   // nothing is read yet: a slow or hanging handshake
        handshake, // TLS
        sniffing,  // plain: the first bytes tell the protocol
        open,
        lingering, // all is sent: what still comes is thrown away until the peer is done
        frozen,    // half-open
        closed,
    };
    static constexpr std::int32_t due_handshake = -10;
    static constexpr std::int32_t due_linger = -11;

    void schedule(Duration after, std::int32_t what) override;
    void drop() override;

    void begin();
    void shake_hands();
    void sniff(std::string_view bytes);
    void open(bool http2);
    void read_all();
    [[nodiscard]] long read_some(char* into, std::size_t size);
    [[nodiscard]] long write_some(std::string_view bytes);
    void flush();
    void settle();
    void linger();
    void close(bool reset);
    void want(std::uint32_t events);

    Worker& worker_;
    Desk& desk_;
    const Tls* tls_;
    int fd_;
    SSL* ssl_ = nullptr;
    AlpnChoice alpn_;
    Peer peer_;
    State state_ = State::waiting;
    bool doomed_ = false; // end with a TCP reset when this turn is over
    bool ended_ = false;  // the peer sent its last byte, or the protocol is beyond repair
    std::uint32_t wanted_ = 0;
    std::unique_ptr<Protocol> protocol_;
    std::string sniffed_;
    std::string out_;
    std::size_t out_sent_ = 0;
};

} // namespace sim
