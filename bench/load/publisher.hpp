// One keep-alive connection that publishes over REST, one request at a time.
#pragma once

#include "http_response.hpp"
#include "room.hpp"
#include "tally.hpp"
#include "tcp_stream.hpp"

#include <string>
#include <string_view>

namespace load {

class Publisher;

class PublisherOwner {
  public:
    virtual ~PublisherOwner() = default;
    /// send() may be called, also from within.
    virtual void on_ready(Publisher& publisher) = 0;
    /// The request under way was answered, or its connection broke.
    virtual void on_over(Publisher& publisher) = 0;
    /// No connection: send() may not be called until on_ready().
    virtual void on_lost(Publisher& publisher) = 0;
    /// The publisher stopped trying to connect.
    virtual void on_given_up(Publisher& publisher) = 0;
};

class Publisher final : public StreamHandler, public Timed {
  public:
    struct Settings {
        bool patient = false;       // never gives up connecting; else after ten seconds in vain
        bool gets_positions = true; // answers say what became of the message
    };
    Publisher(Network& network, Tally& tally, PublisherOwner& owner, Settings settings);

    void connect();

    /// Sends a whole HTTP request that publishes into `room`, null where the room is not kept track
    /// of; more than one message: a batch. Only when idle.
    void send(std::string_view request, Room* room, std::size_t messages, Instant now);

    void on_connected() override;
    std::size_t on_bytes(std::string_view bytes) override;
    void on_ended(int error) override;
    void on_timer(std::uint32_t token) override;

  private:
    enum class State {
        away, // waits to connect again
        connecting,
        idle,
        head, // a request is under way, its response's head is awaited
        body,
    };
    void on_answer();
    void on_batch_answer();
    void reconnect(Duration delay);

    Network& network_;
    Tally& tally_;
    PublisherOwner& owner_;
    const Settings settings_;
    TcpStream stream_;
    State state_ = State::away;
    Instant away_since_{};
    Instant sent_{};
    Room* room_ = nullptr;     // of the request under way
    std::size_t messages_ = 1; // likewise
    int status_ = 0;
    bool close_after_ = false;
    BodyReader body_;
    std::string body_text_;
};

} // namespace load
