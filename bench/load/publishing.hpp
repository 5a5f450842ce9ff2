// The publishers and their schedule: which message is due when, and what is in it.
#pragma once

#include "options.hpp"
#include "publisher.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace load {

class Publishing final : public PublisherOwner {
  public:
    Publishing(Network& network, Tally& tally, Rooms& rooms, const Options& options);

    /// Connects all publishers, so that the first messages do not wait for it.
    void connect();

    /// From here on messages are due.
    void start(Instant now);

    /// Sends what is due and finds an idle publisher.
    void tick(Instant now);

    /// When tick() will next have something to do, if a publisher is idle by then.
    [[nodiscard]] Instant next_due() const;

    /// Whether all is sent and answered, or no publisher is left.
    [[nodiscard]] bool is_finished() const;

    /// Sends nothing more; answers under way still come.
    void stop() { running_ = false; }

    void on_ready(Publisher& publisher) override;
    void on_over(Publisher& publisher) override;
    void on_lost(Publisher& publisher) override;
    void on_given_up(Publisher& publisher) override;

  private:
    void send_next(Publisher& publisher, Instant now);
    /// Whether another message is due; stops when the last one was sent or the time is over.
    [[nodiscard]] bool is_due(Instant now);
    /// Appends the next message's publish to body_; returns its room, null in mode publish.
    Room* append_publish(Instant now);
    /// Begins body_ with the frame that its subscribers will see; its number is noted as published.
    void append_numbered(Room& room, std::uint64_t offset);
    [[nodiscard]] Instant due_at(std::uint64_t message) const;

    // constant after construction
    const Options& options_;
    std::string target_; // of every request's first line
    std::string head_;   // what follows it, up to the value of Content-Length
    std::string filler_;
    std::string data_json_; // of --data-file; empty: the filler is sent

    Tally& tally_;
    Rooms& rooms_;
    std::vector<std::unique_ptr<Publisher>> publishers_;
    std::deque<Publisher*> idle_; // in turn, so that all connections are used
    std::size_t given_up_ = 0;
    std::size_t in_flight_ = 0;
    bool running_ = false;
    Instant started_{};
    std::string body_;    // of the request being made; kept for its memory
    std::string request_; // likewise
};

} // namespace load
