#pragma once
// One SSE stream: a response body that stays open, as a session's connection and its protocol.
//
// What a room sends before all rooms of the URL have been joined waits in `held_` until `ready` is
// out: `ready` is the first event. Every piece that is queued is one HTTP/1.1 chunk; for an
// HTTP/1.0 client, which knows no chunks, the framing is taken off again.
//
// A stream of one room shares the whole event, its id included. With several rooms the id depends
// on all of them: a small piece with the id line goes in front of the shared rest, and the two are
// marked as belonging together, so that a cut-off never leaves an id without its event.
//
// Once `ready` is out, nothing is kept of the request: of one room its name's hash, of several
// their names and positions.

#include "cursor.hpp"

#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/timer_wheel.hpp>
#include <fanfare/net/transport.hpp>
#include <fanfare/protocols/sse.hpp>
#include <fanfare/session/session.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::protocols {

struct SseService::Shared {
    explicit Shared(session::Sessions& owner);
    session::Sessions& sessions;
    LocalBytesRef heartbeat; // one comment for all streams
    std::string scratch;
    CounterFamily streams; // by outcome: opened, turned_away, or the error's code
    Gauge& connections;
};

class SseStream final : public net::Owned,
                        net::TransportHandler,
                        public session::Outbound,
                        public session::ClientProtocol {
  public:
    struct Request {
        std::vector<std::string> rooms; // 1 to 32, in the order of the URL
        /// Where to resume each room: present with a Last-Event-ID, also one that is not
        /// understood (then it is a position that no room has).
        std::optional<std::vector<Position>> since;
        std::uint32_t last = 0;
        std::string device;
    };
    SseStream(SseService::Shared& shared, http::Detached detached, Request request);
    ~SseStream() override;

    void start(std::string_view response_head, session::IdentityRef identity);

    // session::Outbound
    void send(LocalBytesRef chunk) override;
    void send_text(std::string_view event) override;
    [[nodiscard]] std::size_t queued_bytes() const noexcept override {
        return out_.queued_bytes() + (joining_ ? joining_->held_bytes : 0);
    }
    [[nodiscard]] session::ClientProtocol& protocol() noexcept override { return *this; }
    void ping() override;
    [[nodiscard]] bool answers_pings() const noexcept override { return false; }
    void close(session::CloseReason reason, std::string_view detail) override;
    [[nodiscard]] std::string_view transport() const noexcept override { return "sse"; }

  private:
    enum class State : std::uint8_t {
        joining,  // not all rooms have answered; pieces are held
        open,     // `ready` is out
        finished, // the end of the body is queued; then FIN, then the peer's end
        dead,     // the transport is closed; waits for its destruction
    };
    /// How a room answered the join.
    struct Answer {
        Position position; // the room's newest
        std::optional<bool> recovered;
        std::optional<std::uint64_t> acked; // of the inbox
    };

    /// A piece that waits for `ready`. Its id line is written when it goes out: only then the
    /// positions of all rooms are known.
    struct Held {
        LocalBytesRef chunk;
        std::optional<std::size_t> room; // whose position it brings
        Position position;
    };
    struct Joining {
        Request request;
        std::vector<Answer> answers;
        std::vector<Held> held;
        std::size_t held_bytes = 0;
        std::size_t missing; // rooms that have not answered
    };
    /// The rooms of the URL.
    struct UrlRooms {
        std::vector<std::string> names;
        std::vector<Position> positions; // of the last event handed out
    };
    struct CloseTimer;

    // net
    void on_readable() override;
    void on_writable() override { out_.flush(); }
    void on_drained() override;
    void on_write_failed(error_code why) override;

    // session::ClientProtocol
    void welcome(session::Session& session) override;
    void error(session::Session& session, session::RequestId id, const Error& error) override;
    void auth_ok(session::Session& session, session::RequestId id) override;
    void subscribe_ok(session::Session& session, session::RequestId id,
                      const session::SubscribeOk& ok) override;
    void pattern_ok(session::Session&, session::RequestId, std::string_view) override {}
    void unsubscribe_ok(session::Session&, session::RequestId, std::string_view, bool) override {}
    void publish_ok(session::Session&, session::RequestId, const session::PublishOk&) override {}
    void history_ok(session::Session&, session::RequestId, const session::HistoryOk&) override {}
    void presence_ok(session::Session&, session::RequestId, const session::PresenceOk&) override {}
    void ack_ok(session::Session&, session::RequestId, std::uint64_t) override {}
    void pong(session::Session&, session::RequestId) override {}
    void message(session::Session& session, room::Subscription* subscription,
                 room::Delivery& delivery) override;
    void inbox_message(session::Session& session, room::Delivery& delivery, bool repeat) override;
    void acked(session::Session& session, std::uint64_t offset) override;
    void subscribed(session::Session& session, std::string_view room,
                    const Position& position) override;
    void unsubscribed(session::Session& session, std::string_view room, const Error& why) override;
    void reset(session::Session& session, std::string_view room, const Position& position) override;
    void bye(session::Session& session, std::string_view code, std::string_view message,
             std::uint64_t reconnect_in) override;

    void all_joined();
    /// `moves`: the client's cursor goes on with it.
    void push_message(session::Session& session, room::Delivery& delivery, bool moves);
    void push_id(std::size_t room, const Position& position);
    /// Drops what was held back, and the state of joining with it.
    void stop_joining();
    /// The place of a room in the URL.
    [[nodiscard]] std::optional<std::size_t> index_of(std::string_view room,
                                                      std::uint64_t hash) const noexcept;
    [[nodiscard]] std::string cursor(std::span<const Position> positions) const;
    /// Queues one event of the gateway's own; `id` empty: the client's cursor stays.
    void push_event(std::string_view id, std::string_view name, std::string_view json);
    void push_chunk(std::string_view body);
    void push_bye(std::string_view code, std::string_view message, std::uint64_t reconnect_in);
    void finish();
    void die();

    SseService::Shared& shared_;
    std::unique_ptr<net::Transport> transport_;
    std::unique_ptr<Joining> joining_;        // until `ready` is out
    std::unique_ptr<UrlRooms> rooms_;         // null: one room, and `ready` is out
    std::unique_ptr<CloseTimer> close_timer_; // once the end is queued
    const std::uint64_t first_room_hash_;
    const RoomsTag tag_;
    State state_ = State::joining;
    const bool chunked_;
    bool said_bye_ = false;
    bool has_added_rooms_ = false; // by the API: their messages must not bring an id
    bool fin_sent_ = false;
    session::Session session_;
};

} // namespace fanfare::protocols
