#pragma once
// A reactor's sessions: the registry, what they share (rooms, authorizer, limits, instruments), and
// the calls that reach a user's sessions on all reactors.

#include <fanfare/base/metrics.hpp>
#include <fanfare/room/broker.hpp>
#include <fanfare/room/idempotency.hpp>
#include <fanfare/room/lanes.hpp>
#include <fanfare/room/rooms.hpp>
#include <fanfare/session/session.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::session {

struct SessionInfo {
    std::string id;
    std::string transport; // "websocket" or "sse"
    WallMillis connected_at = 0;
};

class Sessions final : public room::PublishClient {
  public:
    Sessions(room::Rooms& rooms, Authorizer& authorizer, room::IdempotencyLog& idempotency,
             std::shared_ptr<const Options> options);
    ~Sessions();
    Sessions(const Sessions&) = delete;
    Sessions& operator=(const Sessions&) = delete;
    /// Once, before the reactors run: all reactors' sessions, by index (this one included).
    void connect(std::vector<Sessions*> all) { all_ = std::move(all); }
    /// What stands behind `@me`; null: nothing does. Once, before the reactors run.
    void set_inboxes(Inboxes* inboxes) noexcept { inboxes_ = inboxes; }
    [[nodiscard]] Inboxes* inboxes() noexcept { return inboxes_; }
    [[nodiscard]] const std::vector<Sessions*>& all() const noexcept { return all_; }

    [[nodiscard]] room::Rooms& rooms() noexcept { return rooms_; }
    [[nodiscard]] net::Reactor& reactor() noexcept { return rooms_.reactor(); }
    [[nodiscard]] const Options& options() const noexcept { return *options_; }
    [[nodiscard]] Authorizer& authorizer() noexcept { return *authorizer_; }

    /// New limits and identity settings; sessions that exist follow them. On this reactor.
    void reload(std::shared_ptr<const Options> options, Authorizer& authorizer);

    // --- a user's sessions, on all reactors; `done` is called on this one ---
    void find_user(const std::string& user, std::function<void(std::vector<SessionInfo>)> done);
    void disconnect_user(const std::string& user, std::function<void(std::uint64_t)> done);
    void subscribe_user(const std::string& user, const std::string& room,
                        std::function<void(std::uint64_t)> done);
    void unsubscribe_user(const std::string& user, const std::string& room,
                          std::function<void(std::uint64_t)> done);

    /// Sends all sessions away, spread evenly over `window`.
    void drain(std::chrono::milliseconds window);
    [[nodiscard]] bool draining() const noexcept { return drain_ != nullptr; }
    [[nodiscard]] std::size_t size() const noexcept { return sessions_.size(); }
    /// The session with that public id on this reactor; null if there is none.
    [[nodiscard]] Session* find_id(std::string_view id);
    /// The reactor that a public id names; nothing if it is none of ours.
    [[nodiscard]] std::optional<unsigned> reactor_of(std::string_view id) const;
    /// The session with that handle on this reactor; null if it has ended.
    [[nodiscard]] Session* find(net::Handle handle) noexcept {
        Session** const found = sessions_.find(handle);
        return found != nullptr ? *found : nullptr;
    }

    /// Why an identity (null: anonymous) may not subscribe to a room; no error: it may.
    [[nodiscard]] Error subscribe_fault(const Identity* identity, std::string_view room) const;

    // --- for Session ---
    struct PendingPublish {
        net::Handle session = 0;
        RequestId id;
        std::string room;
        std::unique_ptr<room::IdempotencyKey> key; // null: none
    };
    void publish(PendingPublish pending, room::DraftRef message);

    // instruments, written on this reactor
    Counter& messages_out;
    Counter& bytes_out;
    Counter& messages_in;
    Counter& ephemeral_dropped;
    Counter& slow_consumers;
    Counter& idle_closed;
    Counter& rate_limited;
    Counter& resumes_recovered;
    Counter& resumes_lost;
    Counter& replayed_messages;

  private:
    friend class Session;
    struct Drain;

    void add(Session& session);
    void remove(Session& session) noexcept;
    void index_user(Session& session);
    void unindex_user(Session& session) noexcept;
    void on_published(net::Handle who, std::uint64_t request,
                      const room::PublishResult& result) override;
    void published(const PendingPublish& pending, const room::PublishResult& result);
    void send(net::Handle pending, const room::DraftRef& message);
    void on_verdict(net::Handle pending, const room::DraftRef& message,
                    room::IdempotencyLog::Verdict verdict, const room::PublishResults& results);
    template <class F>
    void each_session_of(std::string_view user, F&& f);
    void count_over_reactors(std::function<std::uint64_t(Sessions&)> act,
                             std::function<void(std::uint64_t)> done);

    room::Rooms& rooms_;
    Authorizer* authorizer_;
    room::IdempotencyLog& idempotency_;
    std::shared_ptr<const Options> options_;
    std::vector<Sessions*> all_;
    Inboxes* inboxes_ = nullptr;
    net::SlotMap<Session*> sessions_;
    net::SlotMap<PendingPublish> publishes_;
    room::Lanes lanes_;                                           // by session
    boost::unordered_flat_map<std::string_view, Session*> users_; // keys live in the identities
    std::unique_ptr<Drain> drain_;
    Gauge& websocket_sessions_;
    Gauge& sse_sessions_;
};

} // namespace fanfare::session
