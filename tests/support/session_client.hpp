#pragma once
// One client of a session, for tests: what would be a wire is a list of lines.

#include "support/memory_transport.hpp"
#include "support/session_world.hpp"

#include <fanfare/net/out_queue.hpp>
#include <fanfare/room/delivery.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::session::test {

using namespace std::chrono_literals;
using fanfare::test::Lines;
using fanfare::test::MemoryPipe;
using fanfare::test::MemoryTransport;
using fanfare::test::test_rules;
using fanfare::test::World;

/// One client: what its session says comes as lines.
class Client final : public Outbound, public ClientProtocol {
  public:
    struct Wiring {
        bool direct = false; // messages go as bytes into `pipe`
        bool sse = false;
        std::size_t reactor = 0;
    };
    explicit Client(World& w) : Client(w, Wiring{}) {}
    Client(World& w, const Wiring& wiring)
        : world(w), wiring_(wiring),
          session(std::make_unique<Session>(*w.sessions[wiring.reactor], *this, room::Form::ws_json,
                                            wiring.direct)) {
        out_.attach(&wire_);
    }
    ~Client() {
        run([this](Session&) { session.reset(); });
        out_.attach(nullptr);
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// Opens the session; `user` empty: without a token.
    Client& open(const std::string& user = {}) {
        IdentityRef who;
        if (!user.empty()) {
            auto made = std::make_shared<Identity>(world.tokens.grants);
            made->user = user;
            who = std::move(made);
        }
        run([&](Session& s) { s.open(who); });
        lines.clear();
        return *this;
    }
    /// Does something to the session on its reactor; returns what the client was told meanwhile.
    Lines run(const std::function<void(Session&)>& act) {
        lines.clear();
        world.run([&] { act(*session); }, wiring_.reactor);
        return std::exchange(lines, {});
    }
    Lines take() { return std::exchange(lines, {}); }

    Lines subscribe(std::string_view room, RequestId id = 1) {
        return run([&](Session& s) { s.subscribe(id, {room, std::nullopt, 0, {}}); });
    }
    Lines unsubscribe(std::string_view room, RequestId id = 2) {
        return run([&](Session& s) { s.unsubscribe(id, room); });
    }
    Lines pattern(std::string_view text, RequestId id = 3) {
        return run([&](Session& s) { s.subscribe_pattern(id, text); });
    }
    Lines publish(std::string_view room, std::string_view data, std::string_view key = {}) {
        return run([&](Session& s) { s.publish(4, {room, data, {}, key, false}); });
    }
    Lines whisper(std::string_view room, std::string_view data) {
        return run([&](Session& s) { s.publish(5, {room, data, {}, {}, true}); });
    }
    Lines auth(const std::string& token, RequestId id = 6) {
        return run([&](Session& s) { s.authenticate(id, token); });
    }

    // what the test looks at
    World& world;
    Lines lines;
    std::optional<CloseReason> closed;
    std::string detail;
    Position position; // of the last ok to subscribe, subscribed or reset
    int pings = 0;
    std::shared_ptr<MemoryPipe> pipe = std::make_shared<MemoryPipe>();
    // what the test says
    std::optional<std::size_t> queued;         // the answer to queued_bytes; none: of `queue`
    bool count_queued = false;                 // messages add to `queued` …
    std::size_t overhead = 0;                  // … with so much around each
    std::optional<CloseReason> close_on_error; // of a connection that an answer brings to its end

  private:
    static std::string show(RequestId id) { return id ? std::to_string(*id) + " " : ""; }
    static std::string show(const Position& position) {
        return " @" + std::to_string(position.offset);
    }
    void say(std::string line) { lines.push_back(std::move(line)); }

    // Outbound
    void send(LocalBytesRef bytes) override { say("bytes " + std::string{bytes->view()}); }
    void send_text(std::string_view text) override { say("text " + std::string{text}); }
    [[nodiscard]] std::size_t queued_bytes() const noexcept override {
        return queued.value_or(out_.queued_bytes());
    }
    [[nodiscard]] ClientProtocol& protocol() noexcept override { return *this; }
    void ping() override { ++pings; }
    [[nodiscard]] bool answers_pings() const noexcept override { return !wiring_.sse; }
    void close(CloseReason reason, std::string_view why) override {
        closed = reason;
        detail = why;
        session->end();
    }
    [[nodiscard]] std::string_view transport() const noexcept override {
        return wiring_.sse ? "sse" : "websocket";
    }

    // OutQueue::Owner
    void on_drained() override { session->drained(); }
    void on_write_failed(error_code /*why*/) override {}

    // ClientProtocol
    void welcome(Session& s) override { say("welcome " + std::string{s.user()}); }
    void error(Session& s, RequestId id, const Error& error) override {
        say("error " + show(id) + std::string{code_name(error.code)});
        detail = error.message;
        if (close_on_error) s.close(*close_on_error, "because of an error");
    }
    void auth_ok(Session& s, RequestId id) override {
        say("auth " + show(id) + std::string{s.user()});
    }
    void subscribe_ok(Session& /*s*/, RequestId id, const SubscribeOk& ok) override {
        position = ok.position;
        std::string line = "ok " + show(id) + std::string{ok.room} + show(ok.position);
        if (ok.recovered) line += *ok.recovered ? " recovered" : " lost";
        say(std::move(line));
    }
    void pattern_ok(Session& /*s*/, RequestId id, std::string_view pattern) override {
        say("pattern " + show(id) + std::string{pattern});
    }
    void unsubscribe_ok(Session& /*s*/, RequestId id, std::string_view room,
                        bool is_pattern) override {
        say((is_pattern ? "left pattern " : "left ") + show(id) + std::string{room});
    }
    void publish_ok(Session& /*s*/, RequestId id, const PublishOk& ok) override {
        say("published " + show(id) + std::string{ok.room} + show(ok.position) +
            (ok.duplicate ? " duplicate" : ""));
    }
    void history_ok(Session& /*s*/, RequestId id, const HistoryOk& ok) override {
        std::string line = "history " + show(id);
        for (const room::MessageRef& message : ok.messages)
            line += std::string{message->data()} + " ";
        say(line + (ok.more ? "more" : "end"));
    }
    void presence_ok(Session& /*s*/, RequestId id, const PresenceOk& ok) override {
        say("presence " + show(id) + std::to_string(ok.members.size()) + " of " +
            std::to_string(ok.total));
    }
    void ack_ok(Session& /*s*/, RequestId id, std::uint64_t offset) override {
        say("ack " + show(id) + "@" + std::to_string(offset));
    }
    void pong(Session& /*s*/, RequestId id) override { say("pong " + show(id)); }
    void inbox_message(Session& s, room::Delivery& delivery, bool repeat) override {
        const LocalBytesRef& bytes = delivery.bytes(s.form());
        if (!s.make_room(bytes->size())) return;
        say((repeat ? "repeat " : "inbox ") + std::string{bytes->view()});
    }
    void acked(Session& /*s*/, std::uint64_t offset) override {
        say("acked @" + std::to_string(offset));
    }
    void message(Session& s, room::Subscription* /*subscription*/,
                 room::Delivery& delivery) override {
        const LocalBytesRef& bytes = delivery.bytes(s.form());
        if (!s.make_room(bytes->size())) return;
        if (count_queued) queued = queued.value_or(0) + bytes->size() + overhead;
        say(std::string{delivery.message().room()} + " " + std::string{bytes->view()});
    }
    void subscribed(Session& /*s*/, std::string_view room, const Position& at) override {
        position = at;
        say("subscribed " + std::string{room} + show(at));
    }
    void unsubscribed(Session& /*s*/, std::string_view room, const Error& why) override {
        say("unsubscribed " + std::string{room} + " " + std::string{code_name(why.code)});
    }
    void reset(Session& /*s*/, std::string_view room, const Position& at) override {
        position = at;
        say("reset " + std::string{room} + show(at));
    }
    void bye(Session& /*s*/, std::string_view code, std::string_view /*message*/,
             std::uint64_t reconnect_in) override {
        say("bye " + std::string{code});
        reconnects.push_back(reconnect_in);
    }

    Wiring wiring_;
    MemoryTransport wire_{pipe};

  public:
    std::vector<std::uint64_t> reconnects; // what byes said
    std::unique_ptr<Session> session;
};

} // namespace fanfare::session::test
