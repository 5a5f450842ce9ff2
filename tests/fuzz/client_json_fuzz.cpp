// A client's text, any bytes at all: no crash, and what is accepted keeps its promises.

#include "client_json.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace fanfare;
using namespace fanfare::protocols;

namespace {

void expect(bool promise) {
    if (!promise) std::abort();
}

struct Promises {
    std::string_view text;

    void operator()(const Error& error) const {
        expect(error.code == Code::bad_request || error.code == Code::unknown_op);
        expect(!error.message.empty());
    }
    void operator()(const AuthRequest& /*request*/) const {}
    void operator()(const PingRequest& /*request*/) const {}
    void operator()(const SubscribeRequest& request) const {
        room(request.room);
        expect(!request.since || request.last == 0);
    }
    void operator()(const SubscribePatternRequest& request) const {
        expect(room::pattern_fault(request.pattern) == nullptr);
    }
    void operator()(const UnsubscribeRequest& request) const {
        if (request.is_pattern)
            expect(room::pattern_fault(request.room) == nullptr);
        else
            room(request.room);
    }
    void operator()(const PublishRequest& request) const {
        room(request.room);
        // The bytes are a part of the text, whole and without space around them.
        expect(request.data.data() >= text.data());
        expect(request.data.data() + request.data.size() <= text.data() + text.size());
        expect(!check_json(request.data));
        constexpr std::string_view space = " \t\r\n";
        expect(space.find(request.data.front()) == std::string_view::npos);
        expect(space.find(request.data.back()) == std::string_view::npos);
        expect(request.event.empty() || room::event_name_fault(request.event) == nullptr);
        expect(request.key.empty() || room::id_fault(request.key) == nullptr);
    }
    void operator()(const AckRequest& request) const { room(request.room); }
    void operator()(const HistoryRequest& request) const { room(request.room); }
    void operator()(const PresenceRequest& request) const { room(request.room); }

    static void room(std::string_view name) { expect(room::room_name_fault(name) == nullptr); }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static RequestParser parser;
    std::vector<char> padded(size + 64);
    if (size != 0) std::memcpy(padded.data(), data, size);
    const std::string_view text{padded.data(), size};
    const ParsedRequest parsed = parser.parse(text);
    const bool valid = !check_json(text);
    if (!std::holds_alternative<Error>(parsed.request)) expect(valid);
    if (parsed.not_an_object || !valid) expect(!parsed.id);
    std::visit(Promises{text}, parsed.request);
    return 0;
}
