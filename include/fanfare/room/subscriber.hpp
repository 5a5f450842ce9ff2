#pragma once
// The contract of whoever receives a room's messages, and its place in the room.

#include <fanfare/base/error.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/room/message.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::net {
class OutQueue;
}

namespace fanfare::room {

class Delivery;
class LocalRoom;
class PresenceDelivery;
class Subscriber;
struct Rule;

/// One subscriber's place in one room. The subscriber owns it; while it is subscribed the room
/// points at it, so it stays where it is. A session may have a hundred: 24 bytes each. What is
/// needed only until it is live (position, ticket) the room keeps elsewhere.
struct Subscription {
    enum class State : std::uint8_t {
        idle,      // not subscribed
        joining,   // the home reactor has not answered yet
        replaying, // history is being pulled; live messages are not delivered yet
        live,
    };
    LocalRoom* room = nullptr;
    union {
        net::Handle ticket;               // joining, replaying: names it to the home reactor
        Subscriber* subscriber = nullptr; // live: who is given its messages
    };
    std::uint32_t place = 0; // index in the room's list
    State state = State::idle;
    std::uint8_t tag = 0; // the owner's use

    [[nodiscard]] std::string_view name() const noexcept;
    [[nodiscard]] std::uint64_t hash() const noexcept;
};
static_assert(sizeof(Subscription) == 24);

/// What the label of a queue (net::OutQueue::label) says where messages are written straight into
/// it.
struct QueueLabel {
    static constexpr std::uint8_t form_bits = 0x0f;
    /// Nothing else will be queued in this turn, as far as anyone knows: the subscriber is in one
    /// room only. So its messages need not wait for the end of the turn.
    static constexpr std::uint8_t sole = 0x10;
    [[nodiscard]] static constexpr std::uint8_t of(Form form, bool is_sole) noexcept {
        return static_cast<std::uint8_t>(static_cast<unsigned>(form) | (is_sole ? sole : 0U));
    }
    [[nodiscard]] static constexpr Form form(std::uint8_t label) noexcept {
        return static_cast<Form>(label & form_bits);
    }
};

/// What a subscriber asks for and says of itself when it joins.
struct JoinWish {
    std::optional<Position> since; // resume after this position
    std::uint32_t last = 0;        // else: replay the newest `last`
    Form form = Form::ws_json;
    std::string user; // for presence; empty: anonymous
    std::string info; // JSON shown in presence, or empty
};

struct JoinResult {
    Code code = Code::ok;
    const char* detail = nullptr;   // static text where code is an error
    Position position;              // the room's newest at the moment of joining
    std::uint64_t replay_after = 0; // the replay begins behind it; the newest: nothing to replay
    std::optional<bool> recovered;  // when `since` was given
};

struct ReplayBatch {
    std::vector<MessageRef> messages; // in offset order, right after what was asked for
    Position newest;
    bool caught_up = false; // the last one is the newest: everything later is delivered live
    bool trimmed = false;   // what was asked for is no longer kept: continuity is lost
};

/// Called on the subscriber's reactor. A subscriber may unsubscribe itself in any of these, and
/// no one else.
class Subscriber {
  public:
    virtual void on_joined(Subscription& subscription, const JoinResult& result) = 0;
    virtual void on_replay(Subscription& subscription, const ReplayBatch& batch) = 0;
    /// Asked when a subscription goes live: the queue that live messages are written into without
    /// asking the subscriber, in the form that its label (QueueLabel) says; null: `on_message` gets
    /// them. It also gets those that need a decision: ephemeral ones, and what the queue has no
    /// room for.
    virtual net::OutQueue* direct_queue() noexcept { return nullptr; }
    /// `subscription` is null for a message that came through a pattern: then it may be one that
    /// the subscriber got already, or may not see.
    virtual void on_message(Delivery& delivery, Subscription* subscription) = 0;
    virtual void on_presence(PresenceDelivery& delivery, Subscription& subscription) = 0;
    /// All reactors know the pattern now.
    virtual void on_pattern_ready(std::string_view pattern) = 0;

  protected:
    ~Subscriber() = default;
};

} // namespace fanfare::room
