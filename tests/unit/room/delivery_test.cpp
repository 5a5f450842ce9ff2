#include <fanfare/room/delivery.hpp>

#include <catch2/catch.hpp>

#include <support/rooms_node.hpp>

using namespace fanfare;
using room::Delivery;
using room::Encoders;
using room::Form;
using test::TextEncoder;

namespace {

struct World {
    World() {
        for (std::size_t form = 0; form < room::form_count; ++form)
            encoders[form] = std::make_unique<TextEncoder>(static_cast<Form>(form), calls);
    }
    [[nodiscard]] int calls_of(Form form) const { return calls[static_cast<std::size_t>(form)]; }
    std::array<int, room::form_count> calls{};
    Encoders encoders;
};

} // namespace

TEST_CASE("delivery: shows what the home reactor has encoded", "[room][delivery]") {
    World world;
    const auto message = test::draft("r", "data");
    const auto bytes = SharedBytes::copy_of("from home");
    message->set_encoded(Form::sse, bytes);
    Delivery delivery{*message, world.encoders};
    CHECK(&delivery.message() == message.get());
    CHECK(delivery.bytes(Form::sse)->data() == bytes->data()); // not a copy
    CHECK(world.calls == std::array<int, room::form_count>{});
}

TEST_CASE("delivery: a form that is not there is encoded once", "[room][delivery]") {
    World world;
    const auto message = test::draft("r", "data");
    Delivery delivery{*message, world.encoders};
    const LocalBytesRef first = delivery.bytes(Form::ws_json);
    CHECK(first->view() == "ws r#0 data");
    CHECK(delivery.bytes(Form::ws_json) == first);
    CHECK(world.calls_of(Form::ws_json) == 1);
    CHECK(delivery.bytes(Form::sse_part)->view() == "part r#0 data");
}

TEST_CASE("delivery: what is not worth it in a form goes in the fallback", "[room][delivery]") {
    World world;
    const auto message = test::draft("r", "short");
    Delivery delivery{*message, world.encoders};
    CHECK(delivery.bytes(Form::ws_json_deflate)->view() == "ws r#0 short");
    CHECK(delivery.bytes(Form::ws_json)->view() == "ws r#0 short");
    CHECK(delivery.bytes(Form::ws_json_deflate)->view() == "ws r#0 short");
    CHECK(world.calls_of(Form::ws_json) == 1);
    CHECK(world.calls_of(Form::ws_json_deflate) == 1);
}

TEST_CASE("delivery: what the home reactor found not worth it is not tried again",
          "[room][delivery]") {
    World world;
    const auto message = test::draft("r", "long enough to deflate");
    message->set_encoded(Form::ws_json, SharedBytes::copy_of("from home"));
    Delivery delivery{*message, world.encoders};
    CHECK(delivery.bytes(Form::ws_json_deflate)->view() == "from home");
    CHECK(world.calls_of(Form::ws_json_deflate) == 0);
}

TEST_CASE("delivery: a presence change is encoded once per form, or goes in the fallback",
          "[room][delivery]") {
    World world;
    const room::PresenceChange change{"chat", "u1", true};
    room::PresenceDelivery delivery{change, world.encoders};
    CHECK(delivery.change().user == "u1");
    CHECK(delivery.bytes(Form::sse)->view() == "sse chat +u1");
    CHECK(delivery.bytes(Form::sse)->view() == "sse chat +u1");
    CHECK(delivery.bytes(Form::ws_json_deflate)->view() == "ws chat +u1");
    CHECK(delivery.bytes(Form::ws_json)->view() == "ws chat +u1");
    CHECK(world.calls == std::array<int, room::form_count>{1, 1, 1, 0});
}
