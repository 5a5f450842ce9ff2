#pragma once
// Sessions over real rooms on reactors that the test turns by hand. What would be a wire is a list
// of lines; who a token names and which keys are known is the test's to say.

#include "support/manual_clock.hpp"
#include "support/memory_transport.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/delivery.hpp>
#include <fanfare/room/rooms.hpp>
#include <fanfare/session/sessions.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::session::test {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

/// "<offset>:<data>;", whatever the form; a presence change is "+<user>;" or "-<user>;".
class PlainEncoder final : public room::Encoder {
  public:
    SharedBytesRef encode(const room::Message& message) override {
        return SharedBytes::copy_of(std::to_string(message.position().offset) + ":" +
                                    std::string{message.data()} + ";");
    }
    SharedBytesRef encode(const room::PresenceChange& change) override {
        return SharedBytes::copy_of((change.joined ? "+" : "-") + std::string{change.user} + ";");
    }
    [[nodiscard]] room::Form fallback() const noexcept override { return room::Form::ws_json; }
};

inline room::Encoders plain_encoders() {
    room::Encoders encoders;
    for (auto& encoder : encoders) encoder = std::make_unique<PlainEncoder>();
    return encoders;
}

/// A publish goes to the room's home reactor by mailbox, as the local broker does it.
class HomeBroker final : public room::Broker {
  public:
    explicit HomeBroker(room::Rooms& rooms) : rooms_(rooms) {}
    void publish(room::DraftRef message, const room::PublishReply& reply) override {
        room::Rooms* const home = &rooms_.home_of(message->room_hash());
        home->reactor().post(
            [home, message = std::move(message), reply] { home->commit(message, reply); });
    }

  private:
    room::Rooms& rooms_;
};

/// A token is a user's name; "bad" is none. With `hold` the answer waits for the test.
class TokenDesk final : public Authorizer {
  public:
    void authenticate(std::string token, Done done) override {
        if (hold)
            waiting.emplace_back(std::move(token), std::move(done));
        else
            answer(token, done);
    }
    void answer(const std::string& token, const Done& done) const {
        if (token == "bad") return done(nullptr, {Code::unauthorized, "not valid", {}});
        auto who = std::make_shared<Identity>(grants);
        who->user = token;
        done(who, {});
    }
    void release() {
        for (const auto& [token, done] : std::exchange(waiting, {})) answer(token, done);
    }

    bool hold = false;
    Identity grants; // of every token
    std::vector<std::pair<std::string, Done>> waiting;
};

/// Every key is new, or waits for the test's verdict.
class KeyDesk final : public room::IdempotencyLog {
  public:
    void begin(room::IdempotencyKey key, Done done) override {
        if (!hold) return done(Verdict::first, {});
        waiting.emplace_back(std::move(key), std::move(done));
    }
    void finish(const room::IdempotencyKey& key, room::PublishResults results) override {
        log.push_back("finish " + shown(key) + " " + std::to_string(results.size()));
    }
    void abandon(const room::IdempotencyKey& key) override { log.push_back("abandon " + shown(key)); }
    /// Answers the one that waits longest.
    void answer(Verdict verdict, room::PublishResults results = {}) {
        const Done done = std::move(waiting.front().second);
        waiting.erase(waiting.begin());
        done(verdict, std::move(results));
    }
    static std::string shown(const room::IdempotencyKey& key) {
        std::string text = key.text;
        for (char& c : text)
            if (c == '\n') c = '/';
        return text;
    }

    bool hold = false;
    std::vector<std::pair<room::IdempotencyKey, Done>> waiting;
    Lines log;
};

inline std::vector<room::Rule> test_rules() {
    using room::PublishRight;
    using room::SubscribeRight;
    const auto rule = [](const char* match, SubscribeRight subscribe, PublishRight publish) {
        room::Rule made;
        made.match = match;
        made.subscribe = subscribe;
        made.publish = publish;
        return made;
    };
    std::vector<room::Rule> rules{
        rule("open:*", SubscribeRight::anyone, PublishRight::subscriber),
        rule("plain:*", SubscribeRight::anyone, PublishRight::subscriber),
        rule("news:*", SubscribeRight::anyone, PublishRight::server),
        rule("user:*", SubscribeRight::user, PublishRight::subscriber),
        rule("grant:*", SubscribeRight::token, PublishRight::token),
        rule("chat:*", SubscribeRight::anyone, PublishRight::subscriber),
    };
    rules[0].patterns = rules[4].patterns = rules[5].patterns = true;
    rules[5].presence = true;
    return rules;
}

struct World {
    explicit World(Options given = {}, unsigned count = 1, const room::Options& room_options = {})
        : options(std::move(given)), reactors(count, clock, metrics) {
        options.node = "gw-1";
        const auto rules = std::make_shared<const room::Rules>(test_rules());
        std::vector<room::Rooms*> all_rooms;
        std::vector<Sessions*> all_sessions;
        for (unsigned i = 0; i < count; ++i) {
            rooms.push_back(std::make_unique<room::Rooms>(reactors[i], plain_encoders(), rules,
                                                          room_options, count));
            brokers.push_back(std::make_unique<HomeBroker>(*rooms.back()));
            sessions.push_back(std::make_unique<Sessions>(*rooms.back(), tokens, keys,
                                                          std::make_shared<Options>(options)));
            all_rooms.push_back(rooms.back().get());
            all_sessions.push_back(sessions.back().get());
        }
        for (unsigned i = 0; i < count; ++i) {
            rooms[i]->connect(all_rooms, *brokers[i]);
            sessions[i]->connect(all_sessions);
        }
    }

    /// Runs `act` on a reactor, and what it causes.
    void run(std::function<void()> act, std::size_t reactor = 0) {
        reactors[reactor].post(std::move(act));
        settle();
    }
    void settle() {
        for (int round = 0; round < 6; ++round)
            for (std::size_t i = 0; i < reactors.size(); ++i) reactors[i].run_turn();
    }
    /// Time passes tick by tick, so that timers fire when they are due.
    void pass(std::chrono::milliseconds time) {
        for (; time.count() > 0; time -= tick) {
            clock.advance(std::min(time, tick));
            for (std::size_t i = 0; i < reactors.size(); ++i) reactors[i].run_turn();
        }
        settle();
    }
    /// A message as a backend publishes it.
    void publish(std::string_view room, std::string_view data, bool ephemeral = false) {
        run([&] { publish_now(room, data, ephemeral); });
    }
    /// The same on a reactor's thread.
    void publish_now(std::string_view room, std::string_view data, bool ephemeral = false,
                     std::size_t reactor = 0) {
        room::Message::Parts parts;
        parts.room = room;
        parts.data = data;
        parts.ephemeral = ephemeral;
        rooms[reactor]->publish(room::Message::make(parts, hash_bytes(room)), {});
    }
    void reload(const std::vector<room::Rule>& rules) {
        const auto shared = std::make_shared<const room::Rules>(rules);
        for (std::size_t i = 0; i < reactors.size(); ++i)
            run(
                [&] {
                    rooms[i]->set_rules(shared);
                    sessions[i]->reload(std::make_shared<Options>(options), tokens);
                },
                i);
    }

    static constexpr std::chrono::milliseconds tick{net::TimerWheel::tick_ms};
    fanfare::test::ManualClock clock;
    Metrics metrics;
    Options options;
    TokenDesk tokens;
    KeyDesk keys;
    net::Reactors reactors;
    std::vector<std::unique_ptr<room::Rooms>> rooms;
    std::vector<std::unique_ptr<HomeBroker>> brokers;
    std::vector<std::unique_ptr<Sessions>> sessions;
};

/// One client: what its session says comes as lines.
class Client final : public Outbound, public ClientProtocol, public net::OutQueue::Owner {
  public:
    struct Wiring {
        bool direct = false; // messages go as bytes into `pipe`
        bool sse = false;
        std::size_t reactor = 0;
    };
    explicit Client(World& w) : Client(w, Wiring{}) {}
    Client(World& w, const Wiring& wiring)
        : world(w), wiring_(wiring), queue(w.reactors[wiring.reactor], *this),
          session(std::make_unique<Session>(*w.sessions[wiring.reactor], *this, queue, *this,
                                            room::Form::ws_json, wiring.direct)) {
        queue.attach(&wire_);
    }
    ~Client() {
        run([this](Session&) { session.reset(); });
        queue.attach(nullptr);
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
    std::shared_ptr<fanfare::test::MemoryPipe> pipe = std::make_shared<fanfare::test::MemoryPipe>();
    // what the test says
    std::optional<std::size_t> queued; // the answer to queued_bytes; none: of `queue`
    bool count_queued = false;         // messages add to `queued` …
    std::size_t overhead = 0;          // … with so much around each
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
        return queued.value_or(queue.queued_bytes());
    }
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
    void pong(Session& /*s*/, RequestId id) override { say("pong " + show(id)); }
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
    fanfare::test::MemoryTransport wire_{pipe};

  public:
    std::vector<std::uint64_t> reconnects; // what byes said
    net::OutQueue queue;
    std::unique_ptr<Session> session;
};

} // namespace fanfare::session::test
