#pragma once
// Sessions over real rooms, on reactors that the test turns by hand and under a clock that it
// moves; who a token names and which keys are known is the test's to say.

#include "support/manual_clock.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/encoder.hpp>
#include <fanfare/room/rooms.hpp>
#include <fanfare/session/sessions.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::test {

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
class TokenDesk final : public session::Authorizer {
  public:
    void authenticate(std::string token, Done done) override {
        if (hold)
            waiting.emplace_back(std::move(token), std::move(done));
        else
            answer(token, done);
    }
    void answer(const std::string& token, const Done& done) const {
        if (token == "bad") return done(nullptr, {Code::unauthorized, "not valid", {}});
        auto who = std::make_shared<session::Identity>(grants);
        who->user = token;
        done(who, {});
    }
    void release() {
        for (const auto& [token, done] : std::exchange(waiting, {})) answer(token, done);
    }

    bool hold = false;
    session::Identity grants; // of every token
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
    void abandon(const room::IdempotencyKey& key) override {
        log.push_back("abandon " + shown(key));
    }
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
    explicit World(session::Options given = {}, unsigned count = 1,
                   const room::Options& room_options = {},
                   room::Encoders (*encoders)() = plain_encoders)
        : options(std::move(given)), reactors(count, clock, metrics) {
        options.node = "gw-1";
        const auto rules = std::make_shared<const room::Rules>(test_rules());
        std::vector<room::Rooms*> all_rooms;
        std::vector<session::Sessions*> all_sessions;
        for (unsigned i = 0; i < count; ++i) {
            rooms.push_back(
                std::make_unique<room::Rooms>(reactors[i], encoders(), rules, room_options, count));
            brokers.push_back(std::make_unique<HomeBroker>(*rooms.back()));
            sessions.push_back(std::make_unique<session::Sessions>(
                *rooms.back(), tokens, keys, std::make_shared<session::Options>(options)));
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
                    sessions[i]->reload(std::make_shared<session::Options>(options), tokens);
                },
                i);
    }

    static constexpr std::chrono::milliseconds tick{net::TimerWheel::tick_ms};
    ManualClock clock;
    Metrics metrics;
    session::Options options;
    TokenDesk tokens;
    KeyDesk keys;
    net::Reactors reactors;
    std::vector<std::unique_ptr<room::Rooms>> rooms;
    std::vector<std::unique_ptr<HomeBroker>> brokers;
    std::vector<std::unique_ptr<session::Sessions>> sessions;
};

} // namespace fanfare::test
