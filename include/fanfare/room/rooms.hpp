#pragma once
// A reactor's rooms: the entry point for publishing and subscribing on that reactor.
//
// It has two sides. The local side knows this reactor's subscribers of any room. The home side owns
// the rooms whose name hashes to this reactor: their numbering, history and presence, and which
// reactors have subscribers. Calls go from the local side of the caller's reactor to the home side
// of the room's, always by mailbox, also if both are one: so the order is the same in all cases.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/room/broker.hpp>
#include <fanfare/room/encoder.hpp>
#include <fanfare/room/options.hpp>
#include <fanfare/room/rules.hpp>
#include <fanfare/room/subscriber.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::net {
class Reactor;
}

namespace fanfare::room {

struct HistoryQuery {
    std::optional<Position> since; // messages after this offset
    bool any_epoch = false;        // `since` counts in the room's present life
    std::size_t limit = 100;
    std::size_t bytes_max = std::size_t{512} * 1024;
    bool reverse = false; // newest first, from the end (or from `since` backwards)
};
struct HistoryResult {
    Code code = Code::ok;
    const char* detail = nullptr;
    Position position; // the room's newest
    std::vector<MessageRef> messages;
    bool more = false;
};
struct MemberInfo {
    std::string user;
    std::uint32_t sessions = 0;
    std::string info; // JSON, or empty
};
struct PresenceResult {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::vector<MemberInfo> members; // at most presence_members_max
    std::uint64_t total = 0;         // users and anonymous sessions
};
struct RoomInfo {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::string room;
    std::uint64_t subscribers = 0;
    Position position;
};

class DurableLog;
class HomeRooms;
class LocalRooms;

class Rooms {
  public:
    /// One per reactor; `encoders` has one for each form.
    Rooms(net::Reactor& reactor, Encoders encoders, RulesRef rules, const Options& options,
          unsigned reactors);
    ~Rooms();
    Rooms(const Rooms&) = delete;
    Rooms& operator=(const Rooms&) = delete;

    /// Once, before the reactors run: all reactors' rooms, by index (this one included), what
    /// carries publishes, and what keeps durable rooms (null: nothing does).
    void connect(std::vector<Rooms*> all, Broker& broker, DurableLog* log = nullptr);

    [[nodiscard]] net::Reactor& reactor() noexcept { return reactor_; }
    /// The rule that governs a room; null: not found. Valid until the rules are replaced.
    [[nodiscard]] const Rule* rule(std::string_view room) const noexcept {
        return rules_->find(room);
    }
    /// Takes new rules; rooms follow them from their next use on. On this reactor.
    void set_rules(RulesRef rules);
    void set_options(const Options& options);
    [[nodiscard]] const Options& options() const noexcept { return options_; }

    // --- local side: called on this reactor ---

    /// Hands a message to its room through the broker. The caller has checked rights. Refused
    /// with unavailable if the room is durable and there is no store, or its reactor is overloaded.
    void publish(DraftRef message, const PublishReply& reply);

    /// Joins; `on_joined` follows. `subscription` must be idle.
    void subscribe(Subscription& subscription, Subscriber& subscriber, std::string_view room,
                   JoinWish wish);
    /// Leaves at once, in any state; nothing is called for this subscription any more. `user` as
    /// in the wish.
    void unsubscribe(Subscription& subscription, Form form, std::string_view user);
    /// An anonymous subscriber became a user's: presence follows. In any state but idle.
    void identify(Subscription& subscription, std::string_view user, std::string_view info);
    /// Asks for up to `bytes_max` of history after what was replayed; `on_replay` follows.
    /// Only while replaying. At least one message comes, whatever its size.
    void pull(Subscription& subscription, std::size_t bytes_max);
    /// What was handed on of a replay, up to this offset. Only while replaying.
    void set_replayed(const Subscription& subscription, std::uint64_t offset);
    /// From now on live messages are delivered. Called in `on_joined`, or in `on_replay` of a
    /// batch that has caught up or was trimmed: only then there is no hole.
    void go_live(Subscription& subscription);
    /// Asks the subscriber for its direct queue again. In any state.
    void review_queue(Subscription& subscription);
    /// Bytes that may wait in a direct queue (Subscriber::direct_queue).
    void set_queue_bytes_max(std::size_t bytes_max);

    /// Receives live messages of all rooms that match and whose rule says `patterns`.
    void subscribe_pattern(Subscriber& subscriber, std::string_view pattern);
    void unsubscribe_pattern(Subscriber& subscriber, std::string_view pattern);

    // Questions; `done` is called on this reactor, later.
    void history(std::string_view room, const HistoryQuery& query,
                 std::function<void(const HistoryResult&)> done);
    void presence(std::string_view room, std::function<void(const PresenceResult&)> done);
    void info(std::string_view room, std::function<void(const RoomInfo&)> done);
    /// Rooms with subscribers whose name begins with `prefix` and sorts after `after`, by name,
    /// at most `limit`, over all reactors. Looks at every occupied room.
    void list(std::string prefix, std::string after, std::size_t limit,
              std::function<void(std::vector<RoomInfo>)> done);

    // --- home side: called on the room's home reactor ---

    /// Numbers a message, keeps it, answers, and delivers it to all reactors with subscribers.
    /// For brokers.
    void commit(DraftRef message, const PublishReply& reply);
    /// Somebody is subscribed to it, on any reactor of this node.
    [[nodiscard]] bool occupied(std::string_view room, std::uint64_t hash) const noexcept;

    // --- between the sides of all reactors ---
    [[nodiscard]] HomeRooms& home() noexcept { return *home_; }
    [[nodiscard]] LocalRooms& local() noexcept { return *local_; }
    [[nodiscard]] Rooms& home_of(std::uint64_t hash) noexcept {
        return *all_[(hash >> 32) % all_.size()];
    }
    [[nodiscard]] const std::vector<Rooms*>& all() const noexcept { return all_; }
    [[nodiscard]] Encoders& encoders() noexcept { return encoders_; }

  private:
    net::Reactor& reactor_;
    Encoders encoders_;
    RulesRef rules_;
    Options options_;
    std::vector<Rooms*> all_;
    Broker* broker_ = nullptr;
    bool has_store_ = false;
    std::unique_ptr<HomeRooms> home_;
    std::unique_ptr<LocalRooms> local_;
};

/// Answers a publish: on the client's reactor, in order with what this reactor posts there.
void answer(const PublishReply& reply, const PublishResult& result);

} // namespace fanfare::room
