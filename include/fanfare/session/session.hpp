#pragma once
// One client, whatever its protocol: who it is, which rooms it is in, what it may do, how fast, and
// for how long. A state machine without I/O: a protocol turns the client's bytes into the calls
// below, and the session answers through ClientProtocol and its connection's queue.

#include <fanfare/base/clock.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/net/timer_wheel.hpp>
#include <fanfare/room/subscriber.hpp>
#include <fanfare/session/authorizer.hpp>
#include <fanfare/session/client_protocol.hpp>
#include <fanfare/session/inboxes.hpp>
#include <fanfare/session/options.hpp>
#include <fanfare/session/subscription_list.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::session {

class Sessions;

struct SubscribeRequest {
    std::string_view room;
    std::optional<Position> since; // resume
    std::uint32_t last = 0;        // else the newest `last`
    std::string_view device;       // for @me
};
struct PublishRequest {
    std::string_view room;
    std::string_view data;  // JSON, as it came
    std::string_view event; // empty: none
    std::string_view key;   // idempotency key; empty: none
    bool ephemeral = false;
};
struct HistoryRequest {
    std::string_view room;
    std::optional<Position> since;
    std::optional<std::uint64_t> limit;
    bool reverse = false;
};

class Session final : public room::Subscriber, net::TimerWheel::Timer {
  public:
    /// With `direct` on, encoded messages go straight into the connection's queue.
    Session(Sessions& service, Outbound& outbound, room::Form form, bool direct);
    ~Session() override;

    /// Registers, says welcome, starts the clocks. `identity` is null for a session without token.
    void open(IdentityRef identity);
    /// The connection is ending: leaves all rooms and the registry. Idempotent; no call to the
    /// protocol or the connection follows.
    void end();

    // --- what a client's bytes become; names and texts are checked by the protocol's parser ---
    /// Any frame came: the peer is alive.
    void heard() noexcept;
    /// Counts one message against the rate. False: it is over (and answered or closed already).
    [[nodiscard]] bool admit_message(RequestId id);
    void authenticate(RequestId id, std::string token);
    void subscribe(RequestId id, const SubscribeRequest& request);
    void subscribe_pattern(RequestId id, std::string_view pattern);
    void unsubscribe(RequestId id, std::string_view room);
    void unsubscribe_pattern(RequestId id, std::string_view pattern);
    void publish(RequestId id, const PublishRequest& request);
    void acknowledge(RequestId id, std::string_view room, std::uint64_t offset);
    /// The same for a protocol whose acknowledgements come another way. `done` gets the error, or
    /// the position that counts now; it is called on this reactor even if the session has ended.
    void acknowledge(std::string_view room, std::uint64_t offset,
                     std::function<void(const Error&, std::uint64_t)> done);
    void history(RequestId id, const HistoryRequest& request);
    void presence(RequestId id, std::string_view room);
    void ping(RequestId id);
    /// The request could not be understood.
    void refuse(RequestId id, const Error& error);

    // --- what the server does to it ---
    /// Subscribes or unsubscribes by API; the client is told. False: there was nothing to do.
    bool server_subscribe(std::string_view room);
    bool server_unsubscribe(std::string_view room, const Error& why);
    /// Rules or token changed: leaves what is no longer allowed, and tells the client.
    void review_rights();
    void close(CloseReason reason, std::string_view detail);
    /// Says bye, then closes with `drain`.
    void send_away(std::uint64_t reconnect_in_ms);

    // --- from the inbox, about its visit `visit` ---
    void on_inbox_joined(std::uint32_t visit, const InboxJoined& joined);
    void on_inbox_page(std::uint32_t visit, const InboxPage& page);
    void on_inbox_message(std::uint32_t visit, const room::MessageRef& message);
    void on_inbox_acked(std::uint32_t visit, std::uint64_t offset);
    void on_inbox_reset(std::uint32_t visit, const Position& position);

    // --- from the connection ---
    /// The queue ran empty: replay goes on.
    void drained();

    // --- for protocols ---
    [[nodiscard]] Sessions& service() noexcept { return service_; }
    [[nodiscard]] Outbound& outbound() noexcept { return outbound_; }
    [[nodiscard]] room::Form form() const noexcept { return form_; }
    void set_direct(bool on);
    /// Null: anonymous.
    [[nodiscard]] const Identity* identity() const noexcept {
        return member_ ? member_->identity.get() : nullptr;
    }
    [[nodiscard]] std::string_view user() const noexcept;
    /// 16 characters, unguessable.
    [[nodiscard]] std::string id() const;
    [[nodiscard]] WallMillis connected_at() const noexcept { return connected_at_; }
    [[nodiscard]] net::Handle handle() const noexcept { return handle_; }
    /// Whether `bytes` more may be queued for one message; if not, cuts the session off.
    [[nodiscard]] bool make_room(std::size_t bytes);
    [[nodiscard]] room::Subscription* find(std::string_view room) noexcept;

  private:
    friend class Sessions;
    struct PendingJoin {
        room::Subscription* subscription = nullptr;
        RequestId id;
        std::optional<RequestId> unsubscribe; // asked for while joining; answered after the join
        bool by_server = false;
        bool replays = false; // `since` or `last` was given
    };
    /// Who a session with a token is, and its place among the sessions of that user.
    struct Member {
        IdentityRef identity;
        Session* next = nullptr;
        Session* previous = nullptr;
    };
    /// Its place in the user's inbox, `@me`. Stays when it has left: what it was sent it may
    /// acknowledge.
    struct Inbox {
        enum class State : std::uint8_t { left, joining, replaying, live };
        InboxPlace place;
        std::string device;
        RequestId id;                         // of the `subscribe` that is joining
        std::optional<RequestId> unsubscribe; // asked for while joining; answered after the join
        std::uint64_t sent = 0;               // the highest offset that it was sent
        State state = State::left;
        bool pulling = false;
    };
    /// What most sessions have nothing of most of the time. Freed when all of it is empty.
    struct Extra {
        std::vector<std::string> patterns;
        std::vector<PendingJoin> joining;
        std::vector<std::pair<std::string, RequestId>> pattern_waits;
        room::Subscription* pulling =
            nullptr; // whose batch of history is on its way; one at a time
        std::unique_ptr<Inbox> inbox;
    };
    /// Milliseconds of the reactor's clock in 32 bits: only differences below 24 days mean
    /// anything.
    using ShortMillis = std::uint32_t;

    void on_joined(room::Subscription& subscription, const room::JoinResult& result) override;
    void on_replay(room::Subscription& subscription, const room::ReplayBatch& batch) override;
    void on_message(room::Delivery& delivery, room::Subscription* subscription) override;
    void on_presence(room::PresenceDelivery& delivery, room::Subscription& subscription) override;
    void on_pattern_ready(std::string_view pattern) override;
    net::OutQueue* direct_queue() noexcept override;
    void on_timer() override;

    [[nodiscard]] bool may_act(RequestId id);
    [[nodiscard]] bool may_read(RequestId id, std::string_view room);
    [[nodiscard]] Error publish_fault(const PublishRequest& request);
    void fail(RequestId id, Code code, std::string message);
    void authenticated(RequestId id, const IdentityRef& identity, const Error& error);
    void join(room::Subscription& subscription, std::string_view room,
              const SubscribeRequest& wish);
    void continue_replay();
    void leave(room::Subscription& subscription);
    void destroy(room::Subscription& subscription);
    [[nodiscard]] bool wants_from_pattern(const room::Message& message);
    [[nodiscard]] PendingJoin* pending_join(const room::Subscription& subscription) noexcept;
    /// As `find`, but null if the client has asked to leave the room again.
    [[nodiscard]] room::Subscription* find_staying(std::string_view room) noexcept;
    void set_identity(IdentityRef identity);
    void schedule();
    [[nodiscard]] Extra& extra();
    void drop_extra_if_empty() noexcept;
    [[nodiscard]] room::Subscription* pulling() const noexcept {
        return extra_ ? extra_->pulling : nullptr;
    }
    void set_pulling(room::Subscription* subscription);
    [[nodiscard]] Inbox* inbox() const noexcept { return extra_ ? extra_->inbox.get() : nullptr; }
    /// Null unless that visit goes on.
    [[nodiscard]] Inbox* inbox(std::uint32_t visit) const noexcept;
    void subscribe_inbox(RequestId id, const SubscribeRequest& request);
    void unsubscribe_inbox(RequestId id);
    void leave_inbox(Inbox& inbox);
    void continue_inbox();
    void send_inbox(Inbox& inbox, const room::Message& message);
    /// Bytes of history that may be queued now; 0: `drained` comes back to it.
    [[nodiscard]] std::size_t replay_room() const noexcept;
    void label_queue() noexcept;
    [[nodiscard]] ClientProtocol& protocol() noexcept { return outbound_.protocol(); }
    [[nodiscard]] ShortMillis short_now() const noexcept;

    // There is one per connection: ordered so that nothing is lost to alignment, 152 bytes.
    std::uint32_t rate_window_ = 0; // in what the timer leaves
    Sessions& service_;
    Outbound& outbound_;
    std::unique_ptr<Member> member_; // null: no token
    std::unique_ptr<Extra> extra_;
    SubscriptionList subscriptions_;
    net::Handle handle_ = 0;
    std::uint64_t secret_ = 0; // makes the session's id unguessable
    WallMillis connected_at_ = 0;
    ShortMillis opened_ = 0;
    ShortMillis heard_ = 0;
    ShortMillis next_ping_ = 0;
    std::uint32_t rate_count_ = 0;
    std::uint16_t rooms_ = 0;
    std::uint8_t rate_strikes_ = 0;
    room::Form form_;
    bool direct_ : 1;
    bool ended_ : 1 = false;
    bool authenticating_ : 1 = false;
};

} // namespace fanfare::session
