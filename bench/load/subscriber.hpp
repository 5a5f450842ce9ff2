// One client: a connection that comes and goes, the protocol spoken over it, and the check of what
// it delivers. What to do when it comes or goes is the fleet's decision.
#pragma once

#include "protocol.hpp"
#include "room.hpp"
#include "sequence.hpp"
#include "tally.hpp"
#include "tcp_stream.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>

namespace load {

class Subscriber;

/// How a connection that was live ended.
struct Departure {
    bool ours = false; // the client left
    std::string code;  // the server's close code; "1006": lost without one
    std::optional<std::chrono::milliseconds> reconnect_in;
};

class SubscriberOwner {
  public:
    virtual ~SubscriberOwner() = default;
    virtual void on_live(Subscriber& subscriber) = 0;
    /// The attempt to connect and subscribe failed.
    virtual void on_refused(Subscriber& subscriber, const std::string& reason) = 0;
    /// A live subscriber is gone.
    virtual void on_gone(Subscriber& subscriber, const Departure& departure) = 0;
};

enum class SubscriberState {
    absent,     // not started, or gone for good
    waiting,    // will connect when its timer fires
    connecting, // on the way from connect() to the granted subscription
    live,
    leaving, // a close handshake is under way
};
inline constexpr std::size_t subscriber_states = 5;

/// How many subscribers are in each state.
using Census = std::array<std::size_t, subscriber_states>;

class Subscriber final : public StreamHandler, public ProtocolEvents, public Timed {
  public:
    struct Settings {
        std::size_t index = 0; // the owner's name for it
        std::unique_ptr<Protocol> protocol;
        bool is_ws = true;
        bool slow = false;      // will be paused: a small receive buffer, no latency samples
        Duration connect_max{}; // from connect() to live
        Duration close_max{};   // from the first Close frame to the end of TCP
    };

    Subscriber(Network& network, Tally& tally, Census& census, Room& room, SubscriberOwner& owner,
               Settings settings);

    /// Connects at once. `resume`: goes on from the last position, if there is one.
    void connect(bool resume);
    void connect_after(Duration delay, bool resume);

    /// Ends the connection: `orderly` with a close handshake where the protocol has one, else by
    /// just closing the socket. Ends in on_gone().
    void leave(bool orderly);

    void pause(bool paused) { stream_.pause(paused); }

    [[nodiscard]] SubscriberState state() const { return state_; }
    [[nodiscard]] std::size_t index() const { return settings_.index; }
    [[nodiscard]] bool is_slow() const { return settings_.slow; }
    [[nodiscard]] bool was_live() const { return was_live_; }
    [[nodiscard]] std::uint64_t holes() const { return sequence_.holes(); }

    /// How many messages the subscriber still lacks to the room's newest.
    [[nodiscard]] std::uint64_t behind() const;

    void on_connected() override;
    std::size_t on_bytes(std::string_view bytes) override;
    void on_ended(int error) override;
    void on_timer(std::uint32_t token) override;

    void on_status(int status) override;
    void on_live(const Start& start) override;
    void on_message(const Delivery& delivery) override;
    void on_reset(const Start& start) override;
    void on_refused(std::string reason) override;
    void on_ending(Ending ending) override;
    void on_fault(const std::string& what) override { ++tally_.faults[what]; }
    void on_other(std::string_view what) override;
    void on_inflated(std::size_t bytes) override;
    void send(std::string_view bytes) override { stream_.send(bytes); }

  private:
    void enter(SubscriberState state);
    void set_timer(Duration delay);
    void finish();

    Tally& tally_;
    Census& census_;
    Room& room_;
    SubscriberOwner& owner_;
    Network& network_;
    Settings settings_;

    TcpStream stream_;
    SubscriberState state_ = SubscriberState::absent;
    bool was_live_ = false;
    bool resuming_ = false;         // the present connection asked for recovery
    std::uint32_t timer_token_ = 0; // of the only timer that still counts
    Instant connect_started_{};
    Instant received_{}; // when the bytes being read arrived
    Sequence sequence_;
    std::string epoch_;
    std::string cursor_;
    std::uint64_t live_from_ = 0; // what is above was published after the subscription
    Departure departure_;
};

} // namespace load
