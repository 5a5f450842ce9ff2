// One stream over a memory pipe, from the request to the end of TCP.

#include "sse_stream.hpp"
#include "support/json_text.hpp"
#include "support/scripted_exchange.hpp"
#include "support/session_world.hpp"

#include <fanfare/protocols/protocols.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>

using namespace fanfare;
using namespace fanfare::protocols;
using fanfare::test::json_number;
using fanfare::test::json_string;
using fanfare::test::Lines;
using fanfare::test::ScriptedExchange;
using fanfare::test::World;
using session::CloseReason;
using namespace std::chrono_literals;

namespace {

room::Encoders real_encoders() {
    return make_encoders(256);
}

session::Options open_options() {
    session::Options options;
    options.anonymous = true;
    options.heartbeat = 1h;
    return options;
}

struct Event {
    std::string name;
    std::string id;
    std::string data;
    std::string retry;
    /// "18 [1]": offset and payload of a message.
    [[nodiscard]] std::string message() const {
        const auto offset = json_number(data, "offset");
        const std::string_view payload = fanfare::test::json_value(data, "data");
        return (offset ? std::to_string(*offset) : "-") + " " +
               std::string{payload.substr(0, payload.size() - 1)};
    }
};
using Events = std::vector<Event>;

/// The body of chunks; what is not whole is left out. `ended`: the last chunk was there.
std::string unchunked(std::string_view bytes, bool* ended = nullptr) {
    std::string body;
    while (true) {
        const std::size_t line = bytes.find("\r\n");
        if (line == std::string_view::npos) return body;
        const std::size_t size = std::strtoul(bytes.data(), nullptr, 16);
        if (bytes.size() < line + 4 + size) return body;
        if (size == 0) {
            if (ended != nullptr) *ended = true;
            return body;
        }
        body += bytes.substr(line + 2, size);
        REQUIRE(bytes.substr(line + 2 + size, 2) == "\r\n");
        bytes.remove_prefix(line + 4 + size);
    }
}

Events events_of(std::string_view body) {
    Events events;
    for (std::size_t end = 0; (end = body.find("\n\n")) != std::string_view::npos;) {
        std::string_view block = body.substr(0, end + 1);
        body.remove_prefix(end + 2);
        Event event;
        while (!block.empty()) {
            const std::string_view line = block.substr(0, block.find('\n'));
            block.remove_prefix(line.size() + 1);
            if (line.starts_with("id: ")) {
                REQUIRE(event.id.empty());
                event.id = line.substr(4);
            } else if (line.starts_with("event: ")) {
                event.name = line.substr(7);
            } else if (line.starts_with("data: ")) {
                event.data += line.substr(6);
            } else if (line.starts_with("retry: ")) {
                event.retry = line.substr(7);
            } else {
                REQUIRE(line == ":");
                event.name = "heartbeat";
            }
        }
        events.push_back(event);
    }
    REQUIRE(body.empty()); // no half of an event
    return events;
}

/// A node; streams come and go.
struct Node {
    explicit Node(const session::Options& options = open_options(), unsigned reactors = 1,
                  const room::Options& bounds = {})
        : world(options, reactors, bounds, real_encoders), service(*world.sessions[0]) {}
    ~Node() { world.reactors[0].destroy_owned(); }
    /// A room of the given home reactor.
    std::string room_at(std::size_t reactor, const std::string& prefix = "open:") {
        for (int i = 0;; ++i) {
            std::string name = prefix + std::to_string(i);
            if (&world.rooms[0]->home_of(hash_bytes(name)) == world.rooms[reactor].get())
                return name;
        }
    }

    World world;
    SseService service;
};

struct Stream {
    explicit Stream(Node& n, std::string query, std::string last_event_id = {})
        : node(n), exchange(n.world.reactors[0]), pipe(*exchange.pipe) {
        exchange.set_query(std::move(query));
        if (!last_event_id.empty())
            exchange.set(http::Header::last_event_id, std::move(last_event_id));
    }
    Stream& open() {
        node.world.run([&] { node.service.open(exchange); });
        return *this;
    }
    /// Turns the first reactor only: what waits for others waits.
    void run_alone(const std::function<void()>& act) {
        node.world.reactors[0].post([&act] { act(); });
        for (int i = 0; i < 6; ++i) node.world.reactors[0].run_turn();
    }
    /// What came since; the head is taken off.
    Events take() {
        std::string bytes = pipe.take_output();
        if (!head_seen) {
            const std::size_t end = bytes.find("\r\n\r\n");
            REQUIRE(end != std::string::npos);
            head = bytes.substr(0, end + 4);
            bytes.erase(0, end + 4);
            head_seen = true;
        }
        return events_of(exchange.head().http_1_0 ? bytes : unchunked(bytes, &ended));
    }
    /// Opens, checks the beginning, and returns `ready`.
    Event ready() {
        open();
        const Events events = take();
        REQUIRE(events.size() >= 2);
        CHECK_FALSE(events[0].retry.empty());
        REQUIRE(events[1].name == "ready");
        session_id = json_string(events[1].data, "session");
        for (std::size_t i = 2; i < events.size(); ++i) replayed.push_back(events[i]);
        return events[1];
    }
    /// The messages among what came since.
    Lines messages() {
        Lines lines;
        for (const Event& event : take()) {
            if (!event.id.empty()) id = event.id;
            lines.push_back(event.message());
        }
        return lines;
    }
    Lines replay() {
        Lines lines;
        for (const Event& event : replayed) {
            if (!event.id.empty()) id = event.id;
            lines.push_back(event.message());
        }
        return lines;
    }
    void run(const std::function<void(session::Session&)>& act) {
        node.world.run([&] {
            session::Session* const found = node.world.sessions[0]->find_id(session_id);
            REQUIRE(found != nullptr);
            act(*found);
        });
    }
    void leave() {
        pipe.input_end = true;
        node.world.run([&] { pipe.deliver(); });
        CHECK(pipe.destroyed);
    }

    Node& node;
    ScriptedExchange exchange;
    fanfare::test::MemoryPipe& pipe;
    std::string head;
    std::string session_id;
    std::string id; // what the client would resume from
    Events replayed;
    bool head_seen = false;
    bool ended = false;
};

std::string offset_of(const Event& ready, const std::string& room) {
    const std::string_view value = fanfare::test::json_value(ready.data, room);
    return std::to_string(json_number(value, "offset").value());
}

} // namespace

// --- the beginning ---

TEST_CASE("sse stream: head, retry, ready with an id", "[sse][protocol-3]") {
    Node node;
    node.world.publish("open:1", "1");
    Stream stream{node, "room=open:1"};
    const Event ready = stream.ready();
    CHECK(stream.head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
    CHECK(stream.head.find("Transfer-Encoding: chunked\r\n") != std::string::npos);
    CHECK_FALSE(ready.id.empty());
    CHECK(ready.id.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789._~-") == std::string::npos);
    CHECK(stream.session_id.size() == 16);
    CHECK(offset_of(ready, "open:1") == "1");
    CHECK(ready.data.find("recovered") == std::string::npos);
    CHECK(stream.replayed.empty());
}

TEST_CASE("sse stream: an event of one room, byte for byte", "[sse][protocol-3]") {
    Node node;
    Stream stream{node, "room=open:1"};
    const Event ready = stream.ready();
    node.world.run([&] {
        room::Message::Parts parts;
        parts.room = "open:1";
        parts.data = "[ 1,\n2]";
        parts.event = "tick";
        parts.id = "k1";
        node.world.rooms[0]->publish(room::Message::make(parts, hash_bytes("open:1")), {});
    });
    const std::string body = unchunked(stream.pipe.take_output());
    const Events events = events_of(body);
    REQUIRE(events.size() == 1);
    CHECK(events[0].id != ready.id);
    CHECK(body == "id: " + events[0].id +
                      "\nevent: tick\ndata: {\"room\":\"open:1\",\"offset\":1,\"data\":[ 1,\n"
                      "data: 2],\"event\":\"tick\",\"id\":\"k1\"}\n\n");
}

TEST_CASE("sse stream: ready is the first event, whatever comes while rooms are joined",
          "[sse][protocol-3]") {
    Node node{open_options(), 2};
    const std::string near = node.room_at(0);
    const std::string far = node.room_at(1);
    Stream stream{node, "room=" + near + "&room=" + far};
    stream.run_alone([&] { node.service.open(stream.exchange); });
    stream.run_alone([&] { node.world.publish_now(near, "1"); });
    stream.run_alone([&] { node.world.publish_now(near, "2", true); });
    CHECK(stream.pipe.output.find("data:") == std::string::npos);
    node.world.settle();
    const Events events = stream.take();
    REQUIRE(events.size() == 4);
    CHECK(events[1].name == "ready");
    // It stands before what was held, so that a client that lost the rest gets it again.
    CHECK(offset_of(events[1], near) == "0");
    CHECK(events[2].message() == "1 1");
    CHECK_FALSE(events[2].id.empty());
    CHECK(events[3].message() == "- 2");
    CHECK(events[3].id.empty());
    stream.leave();
    Stream again{node, "room=" + near + "&room=" + far, events[1].id};
    CHECK(again.ready().data.find("\"recovered\":false") == std::string::npos);
    CHECK(again.replay() == Lines{"1 1"});
}

TEST_CASE("sse stream: last replays the newest, behind ready", "[sse][protocol-3]") {
    Node node;
    for (const char* data : {"1", "2", "3"}) node.world.publish("open:1", data);
    Stream stream{node, "room=open:1&last=2"};
    CHECK(offset_of(stream.ready(), "open:1") == "3");
    CHECK(stream.replay() == Lines{"2 2", "3 3"});
    node.world.publish("open:1", "4");
    CHECK(stream.messages() == Lines{"4 4"});
}

TEST_CASE("sse stream: what is refused before it begins", "[sse][protocol-3]") {
    Node node;
    struct Case {
        const char* query;
        int status;
    };
    const auto c = GENERATE(values<Case>({{"", 400},
                                          {"room=", 400},
                                          {"room=open:1&room=open:1", 400},
                                          {"room=nowhere", 400},
                                          {"room=user:1", 401},
                                          {"room=open:1&room=grant:1", 401},
                                          {"room=open:1&last=x", 400},
                                          {"room=open:%zz", 400}}));
    CAPTURE(c.query);
    Stream stream{node, c.query};
    stream.open();
    REQUIRE(stream.exchange.responses.size() == 1);
    CHECK(stream.exchange.responses[0].status == c.status);
    CHECK_FALSE(stream.exchange.detached);
}

TEST_CASE("sse stream: as many rooms as allowed, and no more", "[sse][protocol-3]") {
    Node node;
    std::string query = "room=open:0";
    for (int i = 1; i < 32; ++i) query += "&room=open:" + std::to_string(i);
    Stream stream{node, query};
    stream.ready();
    node.world.publish("open:31", "1");
    CHECK(stream.messages() == Lines{"1 1"});
    Stream more{node, query + "&room=open:32"};
    more.open();
    REQUIRE(more.exchange.responses.size() == 1);
    CHECK(more.exchange.responses[0].status == 400);
}

// --- resume ---

TEST_CASE("sse stream: resumes by its cursor", "[sse][resume]") {
    Node node;
    const std::string query = GENERATE("room=open:1", "room=open:1&room=open:2&room=open:3");
    const bool several = query.size() > 12;
    CAPTURE(query);
    std::string from;
    {
        Stream stream{node, query};
        stream.ready();
        node.world.publish("open:1", "1");
        if (several) node.world.publish("open:3", "7");
        node.world.publish("open:1", "2", true); // ephemeral: the client's id stays
        const Lines got = stream.messages();
        CHECK(got == (several ? Lines{"1 1", "1 7", "- 2"} : Lines{"1 1", "- 2"}));
        from = stream.id;
        stream.leave();
    }
    node.world.publish("open:1", "3");
    if (several) {
        node.world.publish("open:2", "8");
        node.world.publish("open:3", "9");
    }
    const bool in_query = GENERATE(true, false);
    Stream stream =
        in_query ? Stream{node, query + "&lastEventId=" + from} : Stream{node, query, from};
    const Event ready = stream.ready();
    CHECK(ready.data.find("\"recovered\":false") == std::string::npos);
    CHECK(ready.data.find("\"recovered\":true") != std::string::npos);
    Lines got = stream.replay();
    std::sort(got.begin(), got.end());
    CHECK(got == (several ? Lines{"1 8", "2 3", "2 9"} : Lines{"2 3"}));
    // Each id counts for itself: from any of them the rest comes again, and no more.
    const Events replayed = stream.replayed;
    for (std::size_t i = 0; i < replayed.size(); ++i) {
        Stream again{node, query, replayed[i].id};
        again.ready();
        CHECK(again.replay().size() == replayed.size() - 1 - i);
    }
}

TEST_CASE("sse stream: a cursor that is not this stream's recovers nothing", "[sse][resume]") {
    Node node;
    Stream stream{node, "room=open:1"};
    stream.ready();
    node.world.publish("open:1", "1");
    CHECK(stream.messages() == Lines{"1 1"});
    const auto recovered = [&](const std::string& query, const std::string& id) {
        Stream again{node, query, id};
        const Event ready = again.ready();
        CHECK(again.replay().empty());
        return ready.data.find("\"recovered\":true") != std::string::npos;
    };
    CHECK(recovered("room=open:1", stream.id));
    CHECK_FALSE(recovered("room=open:1", "17"));
    CHECK_FALSE(recovered("room=open:1", "not a cursor"));
    CHECK_FALSE(recovered("room=open:1&room=open:2", stream.id));
    std::string other = stream.id; // the epoch's bytes begin behind version and tag
    other[5] = other[5] == 'A' ? 'B' : 'A';
    CHECK_FALSE(recovered("room=open:1", other));
}

TEST_CASE("sse stream: history that is cut under a replay is a reset with a new id",
          "[sse][resume]") {
    session::Options options = open_options();
    options.send_queue_max = 4'000;
    Node node{options};
    const std::string data = '"' + std::string(500, 'x') + '"';
    for (int i = 0; i < 20; ++i) node.world.publish("open:1", data);
    Stream stream{node, "room=open:1&last=20"};
    stream.pipe.room = 1'500;
    stream.open();
    for (int i = 0; i < 100; ++i) node.world.publish("open:1", "1");
    node.world.run([&] { stream.pipe.drain(); });
    const Events events = stream.take();
    const auto reset = std::find_if(events.begin(), events.end(),
                                    [](const Event& event) { return event.name == "reset"; });
    REQUIRE(reset != events.end());
    CHECK(reset + 1 == events.end());
    CHECK(json_number(reset->data, "offset") == 120U);
    CHECK(json_string(reset->data, "room") == "open:1");
    CHECK_FALSE(reset->id.empty());
    node.world.publish("open:1", "2");
    CHECK(stream.messages() == Lines{"121 2"});
    Stream again{node, "room=open:1", reset->id};
    again.ready();
    CHECK(again.replay() == Lines{"121 2"});
}

TEST_CASE("sse stream: many rooms with short messages resume within the queue", "[sse][resume]") {
    // Their id lines are longer than the messages, and not in anybody's estimate.
    session::Options options = open_options();
    options.send_queue_max = 8'000;
    Node node{options};
    std::string query = "last=50";
    for (int i = 0; i < 32; ++i) {
        query += "&room=open:" + std::to_string(i);
        for (int n = 0; n < 10; ++n) node.world.publish("open:" + std::to_string(i), "1");
    }
    Stream stream{node, query};
    stream.pipe.room = 400; // of the head and a little more
    stream.open();
    for (int i = 0; i < 2'000; ++i) node.world.run([&] { stream.pipe.drain(400); });
    CHECK(node.world.sessions[0]->slow_consumers.value() == 0);
    CHECK(stream.take().size() == 2 + 320);
}

// --- rooms that the API changes ---

TEST_CASE("sse stream: a room added by the API keeps the client's id", "[sse][protocol-4]") {
    Node node;
    const std::string query = GENERATE("room=open:1", "room=open:1&room=open:2");
    Stream stream{node, query};
    stream.ready();
    node.world.publish("open:1", "1");
    stream.messages();
    stream.run([](session::Session& s) { CHECK(s.server_subscribe("open:9")); });
    Events events = stream.take();
    REQUIRE(events.size() == 1);
    CHECK(events[0].name == "subscribed");
    CHECK(events[0].id.empty());
    CHECK(json_string(events[0].data, "room") == "open:9");
    node.world.publish("open:9", "5");
    events = stream.take();
    REQUIRE(events.size() == 1);
    CHECK(events[0].id.empty());
    CHECK(events[0].message() == "1 5");
    node.world.publish("open:1", "2");
    events = stream.take();
    REQUIRE(events.size() == 1);
    CHECK_FALSE(events[0].id.empty());
    stream.run([](session::Session& s) {
        CHECK(s.server_unsubscribe("open:9", {Code::forbidden, "by the API", {}}));
    });
    const Events left = stream.take();
    REQUIRE(left.size() == 1);
    CHECK(left[0].name == "unsubscribed");
    CHECK(json_string(left[0].data, "code") == "forbidden");
    node.world.publish("open:1", "3");
    stream.leave();
    Stream again{node, query, events[0].id};
    again.ready();
    CHECK(again.replay() == Lines{"3 3"});
}

TEST_CASE("sse stream: a room that the API adds before ready keeps the client's id too",
          "[sse][protocol-4]") {
    Node node{open_options(), 2};
    const std::string near = node.room_at(0);
    const std::string far = node.room_at(1);
    SseService::Shared shared{*node.world.sessions[0]};
    Stream stream{node, {}};
    stream.run_alone([&] {
        SseStream::Request request;
        request.rooms = {far};
        auto made = std::make_unique<SseStream>(shared, stream.exchange.detach(), request);
        SseStream& raw = *made;
        node.world.reactors[0].adopt(std::move(made));
        auto who = std::make_shared<session::Identity>();
        who->user = "u1";
        who->closes = 4'000'000'000;
        raw.start("HTTP/1.1 200 OK\r\n\r\n", who);
    });
    // For all sessions of the user on this reactor; the other one is not asked for its part yet.
    stream.run_alone(
        [&] { node.world.sessions[0]->subscribe_user("u1", near, [](std::uint64_t /*n*/) {}); });
    CHECK(stream.pipe.output.find("ready") == std::string::npos);
    node.world.settle();
    const Events events = stream.take();
    REQUIRE(events.size() == 3);
    CHECK(events[1].name == "ready");
    CHECK(events[2].name == "subscribed");
    node.world.publish(near, "1");
    const Events message = stream.take();
    REQUIRE(message.size() == 1);
    CHECK(message[0].id.empty());
    stream.leave();
}

TEST_CASE("sse stream: joins and leaves are events without an id", "[sse][presence]") {
    Node node;
    Stream stream{node, "room=chat:1"};
    stream.ready();
    room::Subscription place;
    struct Nobody final : room::Subscriber {
        void on_joined(room::Subscription& /*s*/, const room::JoinResult& /*r*/) override {}
        void on_replay(room::Subscription& /*s*/, const room::ReplayBatch& /*b*/) override {}
        void on_message(room::Delivery& /*d*/, room::Subscription* /*s*/) override {}
        void on_presence(room::PresenceDelivery& /*d*/, room::Subscription& /*s*/) override {}
        void on_pattern_ready(std::string_view /*p*/) override {}
    } nobody;
    node.world.run([&] {
        room::JoinWish wish;
        wish.user = "u2";
        node.world.rooms[0]->subscribe(place, nobody, "chat:1", wish);
    });
    const Events events = stream.take();
    REQUIRE(events.size() == 1);
    CHECK(events[0].name == "join");
    CHECK(events[0].id.empty());
    CHECK(json_string(events[0].data, "user") == "u2");
    node.world.run([&] { node.world.rooms[0]->unsubscribe(place, room::Form::ws_json, "u2"); });
}

// --- HTTP/1.0 ---

TEST_CASE("sse stream: HTTP/1.0 has no chunks", "[sse][rfc9112-7]") {
    Node node;
    const std::string query = GENERATE("room=open:1", "room=open:1&room=chat:2");
    Stream stream{node, query};
    stream.exchange.set_http_1_0();
    stream.ready();
    CHECK(stream.head.find("Connection: close\r\n") != std::string::npos);
    CHECK(stream.head.find("Transfer-Encoding") == std::string::npos);
    node.world.publish("open:1", "[1]");
    CHECK(stream.messages() == Lines{"1 [1]"});
    stream.run([](session::Session& s) { s.close(CloseReason::drain, "drain"); });
    const Events events = stream.take();
    REQUIRE(events.size() == 1);
    CHECK(events[0].name == "bye");
    CHECK(stream.pipe.output_end);
}

// --- the end ---

TEST_CASE("sse stream: bye says why, and when to come again", "[sse][protocol-3]") {
    struct Case {
        CloseReason reason;
        const char* code;
    };
    const auto c = GENERATE(values<Case>({{CloseReason::drain, "drain"},
                                          {CloseReason::unauthorized, "expired"},
                                          {CloseReason::slow_consumer, "slow_consumer"},
                                          {CloseReason::disconnected, "disconnected"},
                                          {CloseReason::internal, "disconnected"}}));
    Node node;
    Stream stream{node, "room=open:1"};
    stream.ready();
    stream.run([&](session::Session& s) { s.close(c.reason, "why"); });
    const Events events = stream.take();
    REQUIRE(events.size() == 1);
    CHECK(events[0].name == "bye");
    CHECK(events[0].id.empty());
    CHECK(json_string(events[0].data, "code") == c.code);
    CHECK(json_string(events[0].data, "message") == "why");
    CHECK(json_number(events[0].data, "reconnect_in") == std::stoull(events[0].retry));
    CHECK(stream.ended);
    CHECK(stream.pipe.output_end);
    CHECK(node.world.sessions[0]->size() == 0);
    node.world.publish("open:1", "1");
    CHECK(stream.take().empty());
    stream.leave();
}

TEST_CASE("sse stream: a drain says bye once, with its own time", "[sse][drain]") {
    Node node;
    Stream stream{node, "room=open:1"};
    stream.ready();
    stream.run([](session::Session& s) { s.send_away(1'800); });
    const Events events = stream.take();
    REQUIRE(events.size() == 1);
    CHECK(json_string(events[0].data, "code") == "drain");
    CHECK(events[0].retry == "1800");
    CHECK(json_number(events[0].data, "reconnect_in") == 1'800U);
    CHECK(stream.ended);
}

TEST_CASE("sse stream: a drain before ready", "[sse][drain]") {
    Node node{open_options(), 2};
    Stream stream{node, "room=" + node.room_at(1)};
    stream.run_alone([&] { node.service.open(stream.exchange); });
    stream.run_alone([&] { node.world.sessions[0]->drain(0ms); });
    node.world.pass(50ms);
    const Events events = stream.take();
    REQUIRE(events.size() == 2); // retry, bye
    CHECK(events[1].name == "bye");
    CHECK(stream.ended);
    CHECK(node.world.sessions[0]->size() == 0);
}

TEST_CASE("sse stream: a room that cannot be had after the stream has begun", "[sse]") {
    room::Options bounds;
    bounds.rooms_max = 1;
    Node node{open_options(), 1, bounds};
    Stream first{node, "room=open:1"};
    first.ready();
    Stream stream{node, "room=open:1&room=open:2"};
    stream.open();
    const Events events = stream.take();
    REQUIRE(events.size() == 3); // retry, error, bye
    CHECK(events[1].name == "error");
    CHECK(json_string(events[1].data, "code") == "limit_reached");
    CHECK(json_string(events[1].data, "room") == "open:2");
    CHECK(events[2].name == "bye");
    CHECK(stream.ended);
    node.world.publish("open:1", "1");
    CHECK(first.messages() == Lines{"1 1"});
}

TEST_CASE("sse stream: for a slow consumer an id and its event go together", "[sse][slow]") {
    // Wherever the kernel stopped: what the client has read so far is completed, and no id line is
    // left without its event (it would count for the next one).
    session::Options options = open_options();
    options.send_queue_max = 3'000;
    const std::string data = '"' + std::string(400, 'x') + '"';
    const bool several = GENERATE(true, false);
    for (std::size_t room = 0; room < 1'300; room += several ? 7 : 31) {
        CAPTURE(several, room);
        Node node{options};
        Stream stream{node, several ? "room=open:1&room=open:2" : "room=open:1"};
        stream.ready();
        stream.pipe.room = room;
        for (int i = 0; i < 10; ++i) node.world.publish("open:1", data);
        CHECK(node.world.sessions[0]->slow_consumers.value() == 1);
        node.world.run([&] { stream.pipe.drain(); });
        const Events events = stream.take();
        REQUIRE_FALSE(events.empty());
        CHECK(stream.ended);
        CHECK(events.back().name == "bye");
        CHECK(events.back().id.empty());
        CHECK(json_string(events.back().data, "code") == "slow_consumer");
        for (std::size_t i = 0; i + 1 < events.size(); ++i) {
            CHECK_FALSE(events[i].id.empty());
            CHECK(events[i].message() == std::to_string(i + 1) + " " + data);
        }
    }
}

TEST_CASE("sse stream: the heartbeat is a comment", "[sse][protocol-3]") {
    session::Options options = open_options();
    options.heartbeat = 1s;
    Node node{options};
    Stream stream{node, "room=open:1"};
    stream.ready();
    CHECK_FALSE(stream.pipe.established);
    node.world.pass(5'050ms);
    CHECK(stream.pipe.established); // it has stayed
    const Events events = stream.take();
    CHECK(events.size() >= 4);
    for (const Event& event : events) CHECK(event.name == "heartbeat");
    CHECK(node.world.sessions[0]->size() == 1); // it cannot answer
}

TEST_CASE("sse stream: nobody waits for ever", "[sse]") {
    session::Options options = open_options();
    options.close_timeout = 5s;
    Node node{options};
    Stream stream{node, "room=open:1"};
    stream.ready();
    if (GENERATE(true, false)) stream.pipe.room = 0;
    stream.run([](session::Session& s) { s.close(CloseReason::drain, "drain"); });
    node.world.pass(4'900ms);
    CHECK_FALSE(stream.pipe.closed);
    node.world.pass(200ms);
    CHECK(stream.pipe.closed);
    CHECK(stream.pipe.destroyed);
    CHECK(node.world.reactors[0].owned() == 0);
}

TEST_CASE("sse stream: a write that fails ends it, whichever it is", "[sse]") {
    const int n = GENERATE(range(1, 5)); // the head, ready, two messages
    CAPTURE(n);
    Node node;
    Stream stream{node, "room=open:1&room=open:2"};
    stream.pipe.fail_write_at = n;
    stream.open();
    node.world.publish("open:1", "1");
    node.world.publish("open:2", "2");
    CHECK(stream.pipe.writes == n);
    CHECK(stream.pipe.closed);
    CHECK(stream.pipe.destroyed);
    CHECK(node.world.sessions[0]->size() == 0);
    CHECK(node.world.reactors[0].owned() == 0);
}
