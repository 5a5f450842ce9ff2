#pragma once
// One WebSocket connection: a state machine between a transport and a session.
//
// An idle one is this object and its transport: no buffer, no timer of its own (the session's timer
// beats the heart). Only a closing one has a timer.

#include "message_reader.hpp"

#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/timer_wheel.hpp>
#include <fanfare/net/transport.hpp>
#include <fanfare/session/session.hpp>
#include <fanfare/ws/connection.hpp>
#include <fanfare/ws/frame.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::ws {

/// What the connections of a reactor share.
struct Service::Shared {
    Shared(session::Sessions& owner, std::vector<TextProtocol*> spoken);
    session::Sessions& sessions;
    std::vector<TextProtocol*> protocols;
    std::vector<std::string_view> names;
    Inflater inflater;
    Deflater deflater;
    LocalBytesRef ping; // one frame for all heartbeats
    std::string padded; // a message copied to get slack behind it
    std::string frame;  // a reply being framed
    Counter& bytes_in;
    CounterFamily handshakes; // by outcome: accepted, or the error's code
    Gauge& connections;
};

class Connection final : public net::Owned, net::TransportHandler, public session::Outbound {
  public:
    struct Agreed {
        TextProtocol* protocol = nullptr;
        bool deflate_receive = false; // the client may compress
        bool deflate_send = false;    // we may
    };
    Connection(Service::Shared& shared, std::unique_ptr<net::Transport> transport,
               const Agreed& agreed);
    ~Connection() override;

    /// Sends the response head, opens the session, and takes what came behind the request.
    void start(std::string_view response_head, session::IdentityRef identity, std::string leftover);

    // session::Outbound
    void send(LocalBytesRef bytes) override { out_.push(std::move(bytes)); }
    void send_text(std::string_view text) override;
    [[nodiscard]] std::size_t queued_bytes() const noexcept override { return out_.queued_bytes(); }
    [[nodiscard]] session::ClientProtocol& protocol() noexcept override { return protocol_; }
    void ping() override;
    [[nodiscard]] bool answers_pings() const noexcept override { return true; }
    void close(session::CloseReason reason, std::string_view detail) override;
    [[nodiscard]] std::string_view transport() const noexcept override { return "websocket"; }

  private:
    enum class State : std::uint8_t {
        open,     // frames go both ways
        closing,  // we sent Close and wait for the peer's; its messages are read and dropped
        finished, // Close went both ways: FIN goes out when the queue is empty, then the peer's end
        dead,     // the transport is closed; waits for its destruction
    };
    struct CloseTimer;
    /// What few connections have at a time.
    struct Extra {
        std::unique_ptr<CloseTimer> close_timer;
        std::optional<std::string> pong; // the newest ping's payload, while the queue is blocked
    };

    void on_readable() override;
    void on_writable() override { out_.flush(); }
    void on_drained() override;
    void on_write_failed(error_code why) override;

    void feed(std::span<std::byte> bytes, bool slack);
    void on_event(const MessageReader::Event& event, bool slack);
    void on_text(std::string_view text, bool slack);
    void handle_text(std::string_view text, bool slack);
    void push_frame(Opcode opcode, std::string_view payload);
    void answer_ping(ByteView payload);
    void begin_close(CloseCode code, std::string_view reason);
    void finish();
    void die();
    [[nodiscard]] Extra& extra();
    void set_close_timer();

    Service::Shared& shared_;
    std::unique_ptr<net::Transport> transport_;
    TextProtocol& protocol_;
    std::unique_ptr<Extra> extra_;
    [[no_unique_address]] MessageReader reader_; // leaves room for the three behind it
    State state_ = State::open;
    bool deflate_send_;
    bool fin_sent_ = false;
    session::Session session_;
};

} // namespace fanfare::ws
