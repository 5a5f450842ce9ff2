// A backend's registration of a device, any bytes at all: no crash, what is accepted keeps its
// promises, and what is refused is not repeated.

#include "device_body.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <cstdint>
#include <cstdlib>
#include <set>

using namespace fanfare;
using namespace fanfare::api;
using delivery::Platform;

namespace {

constexpr WallMillis now = 1'767'225'600'000;

void expect(bool promise) {
    if (!promise) std::abort();
}

void check_device(const delivery::PushDevice& device) {
    expect(room::id_fault(device.user) == nullptr && room::id_fault(device.name) == nullptr);
    expect(!device.token.empty() && device.token.size() <= 4'096);
    for (const char c : device.token) expect(c > ' ' && c <= '~');
    const bool web = device.platform == Platform::web;
    expect(device.p256dh.size() == (web ? 65 : 0) && device.auth.size() == (web ? 16 : 0));
    if (web) expect(device.token.starts_with("https://"));
    expect(device.topics.size() <= 100);
    expect(std::set<std::string>(device.topics.begin(), device.topics.end()).size() ==
           device.topics.size());
    expect(device.registered == now && (device.expires == 0 || device.expires > now));
    // What was checked once stays as it is.
    delivery::PushDevice again = device;
    expect(!delivery::check_device(again) && again.token == device.token);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    delivery::PushDevice device;
    if (const Error error = parse_device(text, now, device)) {
        expect(error.code == Code::bad_request && !error.message.empty());
        return 0;
    }
    expect(!check_json(text));
    check_device(device);
    return 0;
}
