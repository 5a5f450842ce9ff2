#pragma once
// One HTTP/1.1 connection: bytes to exchanges, answers to bytes (RFC 9112).
//
// A state machine without suspension. Bytes are read into the reactor's buffer and parsed where
// they lie; what cannot be used yet is copied into the Work that a busy connection borrows from
// its server. `feed` is the only way in for bytes: it goes through requests as long as they are
// answered at once, and parks what is left. User code runs only inside `feed`, so whatever it does
// to its exchange (answer, pause, detach) is a mark that the loop acts on when it has returned.

#include "server_state.hpp"

#include <fanfare/http/exchange.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/timer_wheel.hpp>
#include <fanfare/net/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace fanfare::http {

class H1Connection final : public net::Owned,
                           public Exchange,
                           net::TransportHandler,
                           net::OutQueue::Owner,
                           net::TimerWheel::Timer {
  public:
    /// A closing connection reads on for this long and this much, so that unread input does not
    /// make the kernel send a RST that destroys the answer (RFC 9112 §9.6).
    static constexpr std::chrono::milliseconds linger_time{2'000};
    static constexpr std::size_t linger_bytes_max = std::size_t{2} * 1024 * 1024;
    /// Most of a refused body that is read and forgotten to keep the connection.
    static constexpr std::size_t discard_bytes_max = std::size_t{64} * 1024;

    H1Connection(Server::State& server, bool shed);
    ~H1Connection() override;

    [[nodiscard]] net::TransportHandler& handler() noexcept { return *this; }
    /// Once, after the reactor has adopted the connection.
    void start(std::unique_ptr<net::Transport> transport);
    /// For a drain: closes unless a request is being received or answered.
    void close_if_idle();
    /// The server goes: closes at once and forgets it.
    void abandon();

    // Exchange (h1_exchange.cpp)
    [[nodiscard]] net::Reactor& reactor() noexcept override { return reactor_; }
    [[nodiscard]] net::Handle handle() const noexcept override;
    [[nodiscard]] const RequestHead& head() const noexcept override;
    [[nodiscard]] std::string_view body() const noexcept override;
    [[nodiscard]] const std::string& path_parameter(std::size_t index) const noexcept override;
    [[nodiscard]] bool peer_is_loopback() const override;
    [[nodiscard]] std::string peer() const override;
    [[nodiscard]] bool shed() const noexcept override { return shed_; }
    void respond(const Response& response) override;
    void begin_response(const Response& head) override;
    void write_body(std::string_view bytes) override;
    void end_body() override;
    [[nodiscard]] std::size_t queued_bytes() const noexcept override;
    void pause_body() override;
    void resume_body() override;
    [[nodiscard]] Detached detach() override;

  private:
    enum class State : std::uint8_t {
        idle,       // nothing of the next request was received
        held,       // requests wait in `input` until the peer has taken earlier answers
        head,       // a part of a head was received
        body,       // the head was accepted; its body is being received
        waiting,    // the request is whole; its handler owes the answer, or the rest of it
        discarding, // answered before the body was whole; the rest is read and forgotten
        closing,    // the last answer is on its way; input is not looked at any more
        lingering,  // FIN was sent; input is read and forgotten until the peer closes
        closed,     // the transport is closed or handed over; the end of the turn destroys this
    };
    /// What the timer was set for.
    enum class Timing : std::uint8_t { none, head, keep_alive, body, output, linger };

    void on_readable() override;
    void on_writable() override { out_.flush(); }
    void on_drained() override;
    void on_write_failed(error_code /*why*/) override { fail(); }
    void on_timer() override;

    void feed(std::string_view fresh);
    [[nodiscard]] std::string_view consume(std::string_view input);
    [[nodiscard]] std::size_t take_head(std::string_view input);
    [[nodiscard]] std::size_t begin_exchange(std::string_view input);
    [[nodiscard]] bool admit();
    [[nodiscard]] std::size_t take_body(std::string_view input);
    [[nodiscard]] std::size_t discard_body(std::string_view input);
    void dispatch();
    void settle();
    void end_exchange();
    void park(std::string_view rest, std::string own);
    void continue_later();

    /// Runs code of a handler; what it throws becomes a 500.
    template <class F>
    void run(F&& user_code);
    void on_exception(const char* what);
    /// The handler's code has answered or taken the connection away.
    [[nodiscard]] bool over() const noexcept;

    void refuse(const Fault& fault);
    [[nodiscard]] bool must_close(const Response& response) const noexcept;
    void send_answer(const Response& response, bool close);
    void push(std::string_view bytes);
    void push_head(const Response& response, Framing framing, bool close);
    void after_answer();
    void end_handle();

    void discard_input();
    void begin_close();
    void finish_close();
    void fail();
    void unlink();
    void update_io();
    void set_deadline(std::chrono::milliseconds delay);
    [[nodiscard]] bool wants_input() const noexcept;
    [[nodiscard]] Timing wanted_timing() const noexcept;
    [[nodiscard]] std::uint64_t bytes_taken() const noexcept;

    net::Reactor& reactor_;
    Server::State* server_; // null once abandoned
    std::unique_ptr<net::Transport> transport_;
    net::OutQueue out_;
    std::unique_ptr<Work> work_;   // null while idle
    std::string_view rest_;        // during user code: the input behind the request
    std::uint64_t pushed_ = 0;     // bytes of answers so far
    std::uint64_t taken_seen_ = 0; // bytes_taken() when the timer was set
    MonoMillis deadline_ = 0;      // of `timing_`
    MonoMillis wakes_at_ = 0;      // what the timer is set for, if it is
    std::size_t discarded_ = 0;    // bytes, in the states discarding and lingering
    std::size_t list_index_ = 0;   // in the server's list
    State state_ = State::idle;
    Timing timing_ = Timing::none;
    const bool shed_;
    bool linked_ = false;          // in the server's list
    bool served_ = false;          // a request was answered
    bool feeding_ = false;         // user code may be running
    bool reading_ = true;          // want_readable
    bool peer_end_ = false;        // the peer sends no more
    bool close_after_ = false;     // this answer is the last
    bool continue_posted_ = false; // a continuation is in the mail
};

} // namespace fanfare::http
