// All subscribers: who connects when, who comes back after a loss, who still lacks messages.
#pragma once

#include "inflater.hpp"
#include "options.hpp"
#include "subscriber.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace load {

class Fleet final : public SubscriberOwner {
  public:
    /// Creates the subscribers and connects none. WebSocket and SSE clients are spread evenly over
    /// the rooms and over the order of connecting.
    Fleet(Network& network, Tally& tally, Rooms& rooms, const Options& options);

    /// Starts the clients that are due by --connect-rate.
    void connect_due(Instant now);

    /// When connect_due() will next have something to do.
    [[nodiscard]] Instant next_due() const;

    /// Whether every client has been started and is live or was refused.
    [[nodiscard]] bool all_settled() const;

    /// Whether no client is away or on its way.
    [[nodiscard]] bool all_back() const;

    /// Whether every live client has its room's newest message, and none is away.
    [[nodiscard]] bool all_caught_up();

    /// Sends a live client away. It comes back after `away`, from its last position if `resume`.
    void drop(std::size_t index, bool orderly, Duration away, bool resume);

    /// Closes a live client's connection; it stays away until begin_return().
    void send_away(std::size_t index) { members_[index].subscriber->leave(false); }

    /// From here on connect_due() brings all clients back, each from its last position, as fast as
    /// they are let in.
    void begin_return(Instant now);

    /// From here on everyone leaves and nobody comes back.
    void leave_all();

    [[nodiscard]] std::size_t size() const { return members_.size(); }
    [[nodiscard]] std::size_t count(SubscriberState state) const;
    [[nodiscard]] Subscriber& at(std::size_t index) { return *members_[index].subscriber; }

    /// Messages that were skipped and never came.
    [[nodiscard]] std::uint64_t holes() const;

    /// Messages that members who were live once lack at the end of their room. Before leave_all().
    [[nodiscard]] std::uint64_t missing() const;

    void on_live(Subscriber& subscriber) override;
    void on_refused(Subscriber& subscriber, const std::string& reason) override;
    void on_gone(Subscriber& subscriber, const Departure& departure) override;

  private:
    struct Member {
        std::unique_ptr<Subscriber> subscriber;
        bool comes_back = false; // was sent away by drop()
        bool resume = false;     // and will resume
        Duration away{};
        int failures = 0; // reconnects that failed in a row
    };
    void add_member(std::size_t index, bool is_ws, Network& network, Rooms& rooms);
    [[nodiscard]] bool is_paced() const { return options_.connect_rate > 0 && !returning_; }
    [[nodiscard]] Member& member_of(const Subscriber& subscriber) {
        return members_[subscriber.index()];
    }
    void reconnect(Member& member, Duration at_least);

    // constant after construction
    const Options& options_;
    ProtocolSettings protocol_settings_;
    std::size_t slow_count_ = 0;

    Tally& tally_;
    Census census_{};
    Inflater inflater_;
    std::vector<Member> members_;
    std::size_t started_ = 0;
    Instant connecting_since_{};
    std::size_t caught_up_hint_ = 0; // where all_caught_up() found the last one behind
    bool returning_ = false;
    bool leaving_ = false;
};

} // namespace load
