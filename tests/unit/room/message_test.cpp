#include <fanfare/base/bytes.hpp>
#include <fanfare/room/message.hpp>

#include <catch2/catch.hpp>

#include <string>
#include <support/manual_clock.hpp>

using namespace fanfare;
using room::Form;
using room::Message;
using room::MessageRef;

TEST_CASE("message: keeps its parts as they came", "[room][message]") {
    Message::Parts parts;
    parts.room = "chat:1";
    parts.data = R"({"n":12345678901234567890.10,"t":"ä"})";
    parts.event = "typing";
    parts.id = "m-1";
    parts.from = "u1";
    parts.origin = 77;
    parts.origin_reactor = 3;
    const auto message = Message::make(parts, 42);
    CHECK(message->room() == "chat:1");
    CHECK(message->data() == parts.data);
    CHECK(message->event() == "typing");
    CHECK(message->id() == "m-1");
    CHECK(message->from() == "u1");
    CHECK(message->room_hash() == 42);
    CHECK(message->origin() == 77);
    CHECK(message->origin_reactor() == 3);
    CHECK_FALSE(message->ephemeral());
    CHECK(message->position() == Position{});
}

TEST_CASE("message: parts may be absent, and as long as they are allowed to be",
          "[room][message]") {
    const std::string room(255, 'r');
    const std::string event(64, 'e');
    const std::string id(255, 'i');
    const std::string from(65'535, 'f');
    const std::string data(100'000, 'd');
    const bool full = GENERATE(true, false);
    Message::Parts parts;
    parts.room = room;
    parts.ephemeral = !full;
    if (full) {
        parts.event = event;
        parts.id = id;
        parts.from = from;
        parts.data = data;
    }
    const auto message = Message::make(parts, 1);
    CHECK(message->room() == room);
    CHECK(message->event() == (full ? event : ""));
    CHECK(message->id() == (full ? id : ""));
    CHECK(message->from() == (full ? from : ""));
    CHECK(message->data() == (full ? data : ""));
    CHECK(message->ephemeral() == !full);
}

TEST_CASE("message: its number and its time come from its home", "[room][message]") {
    test::ManualClock clock;
    Message::Parts parts;
    parts.room = "r";
    const auto message = Message::make(parts, 1);
    const Position position{Epoch::fresh(), 9};
    message->number(position, clock.wall(), clock.mono_micros());
    CHECK(message->position() == position);
    CHECK(message->time() == clock.wall());
    CHECK(message->born() == clock.mono());
    CHECK(message->received() == 0); // nobody said so
}

TEST_CASE("message: when it was read is known after it was numbered", "[room][message]") {
    Message::Parts parts;
    parts.room = "r";
    // The home reactor's turn may have begun before the one that read the publish.
    for (const MonoMicros numbered : {5'000'000, 5'000'700, 4'999'000, 300'000'000}) {
        const auto message = Message::make(parts, 1);
        message->set_received(5'000'000);
        message->number({}, 1, numbered);
        CHECK(message->received() == 5'000'000);
        CHECK(message->born() == numbered / 1'000);
    }
    const auto late = Message::make(parts, 1); // an hour: no latency that says anything
    late->set_received(5'000'000);
    late->number({}, 1, 3'605'000'000);
    CHECK(late->received() == 0);
}

TEST_CASE("message: holds its encoded bytes by form, and lets go of them in the end",
          "[room][message]") {
    Message::Parts parts;
    parts.room = "r";
    auto message = Message::make(parts, 1);
    for (std::size_t i = 0; i < room::form_count; ++i)
        CHECK(message->encoded(static_cast<Form>(i)) == nullptr);
    const auto bytes = SharedBytes::copy_of("frame");
    message->set_encoded(Form::sse, bytes);
    CHECK(message->encoded(Form::sse)->view() == "frame");
    CHECK(message->encoded(Form::ws_json) == nullptr);
    MessageRef another = message;
    message.reset();
    CHECK(another->encoded(Form::sse) == bytes);
}

namespace {

using Fault = const char* (*)(std::string_view) noexcept;

struct Case {
    const char* name;
    Fault fault;
    std::string text;
    bool fine;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    const std::string umlauts = [] {
        std::string text;
        while (text.size() < 254) text += "ä";
        return text;
    }();
    // What the three kinds of 255 bytes have in common.
    for (const auto& [name, fault, before] :
         {std::tuple{"room", Fault{room::room_name_fault}, ""},
          std::tuple{"pattern", Fault{room::pattern_fault}, "*"},
          std::tuple{"id", Fault{room::id_fault}, ""}}) {
        const std::string b = before;
        all.push_back({name, fault, "", false});
        all.push_back({name, fault, b + "a", true});
        all.push_back({name, fault, b + umlauts, true});
        all.push_back({name, fault, b + std::string(255 - b.size(), 'x'), true});
        all.push_back({name, fault, b + std::string(256 - b.size(), 'x'), false});
        all.push_back({name, fault, b + "a\tb", false});
        all.push_back({name, fault, b + "a\x7f", false});
        all.push_back({name, fault, b + std::string("a\0b", 3), false});
        all.push_back({name, fault, b + "\xc3", false});         // cut off
        all.push_back({name, fault, b + "\xc0\xaf", false});     // overlong
        all.push_back({name, fault, b + "\xed\xa0\x80", false}); // a surrogate
        all.push_back({name, fault, b + " a/b?c#d%e\"", true});
    }
    all.push_back({"room", room::room_name_fault, "a*", false});
    all.push_back({"room", room::room_name_fault, "@me", true}); // reserved is another matter
    all.push_back({"pattern", room::pattern_fault, "no star", false});
    all.push_back({"pattern", room::pattern_fault, "@*", false});
    all.push_back({"pattern", room::pattern_fault, "*@", true});
    all.push_back({"pattern", room::pattern_fault, "a*b*c", true});
    all.push_back({"id", room::id_fault, "*", true});

    all.push_back({"event", room::event_name_fault, "", false});
    all.push_back({"event", room::event_name_fault, std::string(64, 'e'), true});
    all.push_back({"event", room::event_name_fault, std::string(65, 'e'), false});
    all.push_back({"event", room::event_name_fault, "a\nb", false});
    all.push_back({"event", room::event_name_fault, "\xff", false});
    for (const char* own : {"ready", "bye", "reset", "join", "leave", "subscribed", "unsubscribed",
                            "acked", "error", "open"}) {
        all.push_back({"event", room::event_name_fault, own, false});
        all.push_back({"event", room::event_name_fault, std::string{own} + "s", true});
    }
    all.push_back({"event", room::event_name_fault, "message", true});
    all.push_back({"event", room::event_name_fault, "Ready", true});
    return all;
}

} // namespace

TEST_CASE("message: names, patterns, events and ids are well-formed or say why not",
          "[room][message]") {
    for (const Case& c : cases()) {
        CAPTURE(c.name, c.text);
        const char* const fault = c.fault(c.text);
        CHECK((fault == nullptr) == c.fine);
        if (fault != nullptr) CHECK(std::string{fault}.size() > 5);
    }
}
