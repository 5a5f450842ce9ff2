// A backend's body, any bytes at all, as one publish and as a batch: no crash, and what is accepted
// keeps its promises.

#include "publish_body.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace fanfare;
using namespace fanfare::api;

namespace {

constexpr std::size_t rooms_max = 4;
constexpr std::size_t items_max = 16;

void expect(bool promise) {
    if (!promise) std::abort();
}

void expect_within(std::string_view part, std::string_view text) {
    expect(part.data() >= text.data());
    expect(part.data() + part.size() <= text.data() + text.size());
}

void check_error(const Error& error) {
    expect(error.code == Code::bad_request || error.code == Code::too_large);
    expect(!error.message.empty());
}

void check_body(const PublishBody& body, std::string_view text) {
    expect(!body.rooms.empty() && body.rooms.size() <= rooms_max);
    expect(body.many || body.rooms.size() == 1);
    for (const std::string_view room : body.rooms) expect(room::room_name_fault(room) == nullptr);
    expect_within(body.data, text);
    expect(!check_json(body.data));
    constexpr std::string_view space = " \t\r\n";
    expect(space.find(body.data.front()) == std::string_view::npos);
    expect(space.find(body.data.back()) == std::string_view::npos);
    expect(body.event.empty() || room::event_name_fault(body.event) == nullptr);
    expect(body.id.empty() || room::id_fault(body.id) == nullptr);
}

void publish(PublishParser& parser, std::string_view text) {
    static PublishBody body; // used again and again, as the gateway does it
    if (const Error error = parser.parse(text, rooms_max, body)) return check_error(error);
    expect(!check_json(text));
    check_body(body, text);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static PublishParser parser;
    std::vector<char> padded(size + 64);
    if (size != 0) std::memcpy(padded.data(), data, size);
    const std::string_view text{padded.data(), size};
    publish(parser, text);

    const auto split = parser.split(text, items_max);
    if (const auto* const error = std::get_if<Error>(&split)) {
        check_error(*error);
        return 0;
    }
    const auto& items = std::get<std::vector<std::string_view>>(split);
    expect(!check_json(text));
    expect(items.size() <= items_max);
    for (const std::string_view item : items) {
        expect_within(item, text);
        expect(!check_json(item));
        publish(parser, item); // where it stands, as a batch does it
    }
    return 0;
}
