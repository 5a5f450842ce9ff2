// Requests through a real session, rooms and reactor; only the wire is missing.

#include "fanfare_json.hpp"

#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/protocols/protocols.hpp>
#include <fanfare/session/sessions.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <support/manual_clock.hpp>
#include <utility>
#include <vector>

using namespace fanfare;
using namespace fanfare::protocols;

namespace {

/// What a session is made of, on one reactor that the test turns by hand.
class Harness final : public session::Outbound,
                      public session::Authorizer,
                      public room::Broker,
                      public room::IdempotencyLog {
  public:
    explicit Harness(session::Options options = {}) {
        options.node = "gw-1";
        rooms.connect({&rooms}, *this);
        sessions = std::make_unique<session::Sessions>(
            rooms, *this, *this, std::make_shared<const session::Options>(std::move(options)));
        sessions->connect({sessions.get()});
        client = std::make_unique<session::Session>(*sessions, *this, room::Form::ws_json, false);
    }
    ~Harness() {
        run([this] { client.reset(); });
        sessions.reset();
    }

    void run(std::function<void()> act) {
        reactor.post(std::move(act));
        for (int i = 0; i < 4; ++i) reactor.run_turn();
    }
    void open(const std::string& user) {
        run([this, user] { client->open(user.empty() ? nullptr : identity(user)); });
    }
    /// One request; returns the texts that were sent meanwhile.
    std::vector<std::string> ask(const std::string& text) {
        sent.clear();
        run([this, padded = text + std::string(64, ' '), size = text.size()] {
            json.on_text(*client, {padded.data(), size});
        });
        return std::exchange(sent, {});
    }
    static session::IdentityRef identity(const std::string& user) {
        auto who = std::make_shared<session::Identity>();
        who->user = user;
        who->expires = who->closes = 4'000'000'000;
        return who;
    }

    test::ManualClock clock;
    Metrics metrics;
    net::Reactors reactors{1, clock, metrics};
    net::Reactor& reactor = reactors[0];
    room::Rooms rooms{reactor, make_encoders(256), std::make_shared<room::Rules>(rules()), {}, 1};
    std::unique_ptr<session::Sessions> sessions;
    FanfareJson json;
    std::unique_ptr<session::Session> client;
    std::vector<std::string> sent;
    std::optional<session::CloseReason> closed;

  private:
    static std::vector<room::Rule> rules() {
        room::Rule rule;
        rule.subscribe = room::SubscribeRight::anyone;
        rule.publish = room::PublishRight::subscriber;
        rule.presence = true;
        rule.patterns = true;
        return {rule};
    }

    // Outbound: frames of messages are told apart from texts by what they are.
    void send(LocalBytesRef bytes) override {
        sent.push_back("frame " + std::string{bytes->view()});
    }
    void send_text(std::string_view text) override { sent.emplace_back(text); }
    [[nodiscard]] std::size_t queued_bytes() const noexcept override { return 0; }
    [[nodiscard]] session::ClientProtocol& protocol() noexcept override { return json; }
    void ping() override {}
    [[nodiscard]] bool answers_pings() const noexcept override { return true; }
    void close(session::CloseReason reason, std::string_view /*detail*/) override {
        closed = reason;
        client->end();
    }
    [[nodiscard]] std::string_view transport() const noexcept override { return "websocket"; }
    // Owner
    void on_drained() override {}
    void on_write_failed(error_code /*why*/) override {}
    // Authorizer: a token is a user's name.
    void authenticate(std::string token, session::Authorizer::Done done) override {
        if (token == "bad")
            done(nullptr, {Code::unauthorized, "the token is not valid", {}});
        else
            done(identity(token), {});
    }
    // Broker
    void publish(room::DraftRef message, const room::PublishReply& reply) override {
        rooms.commit(std::move(message), reply);
    }
    // IdempotencyLog: every key is new.
    void begin(room::IdempotencyKey /*key*/, room::IdempotencyLog::Done done) override {
        done(Verdict::first, {});
    }
    void finish(const room::IdempotencyKey& /*key*/, room::PublishResults /*results*/) override {}
    void abandon(const room::IdempotencyKey& /*key*/) override {}
};

/// The text with every epoch (8 characters that differ each time) written as E.
std::string without_epoch(std::string text) {
    const std::string key = R"("epoch":")";
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos;) {
        at += key.size();
        text.replace(at, 8, "E");
    }
    return text;
}

using Texts = std::vector<std::string>;

} // namespace

TEST_CASE("fanfare json: welcome tells who and where", "[protocols][protocol-2]") {
    Harness h;
    SECTION("with a token") {
        h.open("u1");
        REQUIRE(h.sent.size() == 1);
        CHECK(h.sent[0] ==
              R"({"op":"welcome","session":")" + h.client->id() +
                  R"(","user":"u1","node":"gw-1","heartbeat":30,"expires":4000000000})");
    }
    SECTION("anonymous") {
        h.open("");
        REQUIRE(h.sent.size() == 1);
        CHECK(h.sent[0] == R"({"op":"welcome","session":")" + h.client->id() +
                               R"(","user":null,"node":"gw-1","heartbeat":30})");
    }
}

TEST_CASE("fanfare json: a life in requests", "[protocols][protocol-2]") {
    Harness h;
    h.open("u1");
    const auto ask = [&h](const std::string& text) {
        Texts texts = h.ask(text);
        for (std::string& answer : texts) answer = without_epoch(std::move(answer));
        return texts;
    };
    CHECK(ask(R"({"id":1,"op":"subscribe","room":"news"})") ==
          Texts{R"({"id":1,"op":"ok","room":"news","epoch":"E","offset":0})"});
    CHECK(ask(R"({"id":2,"op":"subscribe","pattern":"n*"})") ==
          Texts{R"({"id":2,"op":"ok","pattern":"n*"})"});
    const Texts published = ask(R"({"id":3,"op":"publish","room":"news","data":[1 ],"event":"e"})");
    REQUIRE(published.size() == 2);
    CHECK(published[0] == R"({"id":3,"op":"ok","room":"news","epoch":"E","offset":1})");
    CHECK(published[1].substr(8) ==
          R"({"op":"message","room":"news","offset":1,"data":[1 ],"event":"e","from":"u1"})");
    CHECK(ask(R"({"id":4,"op":"publish","room":"news","data":1,"ephemeral":true})") ==
          Texts{R"({"id":4,"op":"ok","room":"news"})"});
    CHECK(
        ask(R"({"id":5,"op":"history","room":"news","limit":1})") ==
        Texts{
            R"({"id":5,"op":"ok","room":"news","epoch":"E","offset":1,"messages":[)"
            R"({"offset":1,"data":[1 ],"event":"e","from":"u1","time":"2026-01-01T00:00:00.000Z"})"
            R"(],"more":false})"});
    CHECK(
        ask(R"({"id":6,"op":"presence","room":"news"})") ==
        Texts{
            R"({"id":6,"op":"ok","room":"news","members":[{"user":"u1","sessions":1}],"total":1})"});
    CHECK(ask(R"({"id":7,"op":"unsubscribe","room":"news"})") ==
          Texts{R"({"id":7,"op":"ok","room":"news"})"});
    CHECK(ask(R"({"id":8,"op":"unsubscribe","pattern":"n*"})") ==
          Texts{R"({"id":8,"op":"ok","pattern":"n*"})"});
    CHECK(ask(R"({"id":9,"op":"auth","token":"u1"})") ==
          Texts{R"({"id":9,"op":"ok","user":"u1","expires":4000000000})"});
    CHECK(ask(R"({"id":10,"op":"ping"})") == Texts{R"({"id":10,"op":"pong"})"});
}

TEST_CASE("fanfare json: without an id there is no ok, only errors and pong",
          "[protocols][protocol-2]") {
    Harness h;
    h.open("u1");
    CHECK(h.ask(R"({"op":"subscribe","room":"news"})").empty());
    CHECK(h.ask(R"({"op":"subscribe","pattern":"x*"})").empty());
    CHECK(h.ask(R"({"op":"publish","room":"news","data":1,"ephemeral":true})").empty());
    CHECK(h.ask(R"({"op":"history","room":"news"})").empty());
    CHECK(h.ask(R"({"op":"presence","room":"news"})").empty());
    CHECK(h.ask(R"({"op":"unsubscribe","room":"news"})").empty());
    CHECK(h.ask(R"({"op":"unsubscribe","pattern":"x*"})").empty());
    CHECK(h.ask(R"({"op":"auth","token":"u1"})").empty());
    CHECK(h.ask(R"({"op":"ping"})") == Texts{R"({"op":"pong"})"});
    CHECK(h.ask(R"({"op":"presence"})") ==
          Texts{R"({"op":"error","code":"bad_request","message":"`room` is missing"})"});
}

TEST_CASE("fanfare json: errors carry their id and leave the session open",
          "[protocols][protocol-2]") {
    Harness h;
    h.open("u1");
    CHECK(h.ask(R"({"op":"dance","id":1})") ==
          Texts{R"({"id":1,"op":"error","code":"unknown_op","message":"`op` names no request"})"});
    CHECK(h.ask(R"({"id":2,"op":"publish","room":"r","data":1})")[0].find("forbidden") !=
          std::string::npos);
    CHECK(
        h.ask("{") ==
        Texts{
            R"({"op":"error","code":"bad_request","message":"byte 1: the text ends where a name is expected"})"});
    CHECK_FALSE(h.closed);
}

TEST_CASE("fanfare json: what is no object ends the session with 4400", "[protocols][close-4400]") {
    Harness h;
    h.open("u1");
    CHECK(h.ask("[1]").empty());
    CHECK(h.closed == session::CloseReason::not_an_object);
}

TEST_CASE("fanfare json: a bad token in-band is told, then closed", "[protocols][close-4401]") {
    Harness h;
    h.open("");
    CHECK(
        h.ask(R"({"id":1,"op":"auth","token":"bad"})") ==
        Texts{R"({"id":1,"op":"error","code":"unauthorized","message":"the token is not valid"})"});
    CHECK(h.closed == session::CloseReason::unauthorized);
}

TEST_CASE("fanfare json: one message too many is refused with its id", "[protocols]") {
    session::Options options;
    options.rate_messages = 2;
    Harness h{options};
    h.open("u1");
    CHECK(h.ask(R"({"id":1,"op":"ping"})").size() == 1);
    CHECK(h.ask("{}").size() == 1); // what is not understood counts too
    const Texts refused = h.ask(R"({"id":3,"op":"ping"})");
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].rfind(R"({"id":3,"op":"error","code":"rate_limited")", 0) == 0);
}

TEST_CASE("fanfare json: the server's own pushes", "[protocols][protocol-2]") {
    Harness h;
    h.open("u1");
    h.sent.clear();
    h.run([&h] { CHECK(h.client->server_subscribe("news")); });
    REQUIRE(h.sent.size() == 1);
    CHECK(without_epoch(h.sent[0]) ==
          R"({"op":"subscribed","room":"news","epoch":"E","offset":0})");
    h.sent.clear();
    h.run([&h] {
        CHECK(h.client->server_unsubscribe("news", {Code::forbidden, "no longer allowed", {}}));
    });
    CHECK(
        h.sent ==
        Texts{
            R"({"op":"unsubscribed","room":"news","code":"forbidden","message":"no longer allowed"})"});
    h.sent.clear();
    h.run([&h] { h.client->send_away(1'800); });
    CHECK(
        h.sent ==
        Texts{
            R"({"op":"bye","code":"drain","message":"the gateway is shutting down","reconnect_in":1800})"});
    CHECK(h.closed == session::CloseReason::drain);
}
