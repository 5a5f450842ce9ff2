#pragma once
// Push endpoints of users, and the contract of where they are kept.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::delivery {

/// Values are kept in the store.
enum class Platform : std::uint8_t { ios = 0, android = 1, web = 2 };
[[nodiscard]] std::string_view platform_name(Platform platform) noexcept;
[[nodiscard]] std::optional<Platform> parse_platform(std::string_view name) noexcept;

/// For which devices there is a provider: pairs of platform and app.
class PushReach {
  public:
    void serve(Platform platform, std::string_view app);
    [[nodiscard]] bool serves(Platform platform, std::string_view app) const;
    [[nodiscard]] bool empty() const noexcept { return pairs_.empty(); }
    /// For who looks with its own means: between line feeds, which no app's name has, each platform
    /// as a digit, a colon, and the app: `\n0:\n2:shop\n`.
    [[nodiscard]] const std::string& text() const noexcept { return pairs_; }
    friend bool operator==(const PushReach&, const PushReach&) = default;

  private:
    std::string pairs_;
};

struct PushDevice {
    std::string user;
    std::string name; // `device_id`: one per user
    Platform platform = Platform::ios;
    /// ios: APNs device token, lower-case hex. android: FCM registration token, opaque. web: the
    /// subscription's endpoint, an https URL, kept byte for byte. All three are secrets: whoever
    /// has one can push. Never logged.
    std::string token;
    std::string p256dh; // web: the browser's public key, 65 bytes
    std::string auth;   // web: its secret, 16 bytes
    std::string app;    // whose credentials it is pushed to with; empty: those without a name
    std::string locale;
    std::string timezone;
    std::vector<std::string> topics;
    WallMillis registered = 0; // last
    WallMillis expires = 0;    // 0: when the provider says so
};

/// Why a registration cannot be one, naming the member; no error: it can. `device` is completed:
/// tokens are brought into the form above.
[[nodiscard]] Error check_device(PushDevice& device);

struct Registered {
    Code code = Code::ok;
    const char* detail = nullptr;
    bool fresh = false; // there was none of that name
    bool taken = false; // its token was another device's, which is no more
};
struct Unregistered {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::uint64_t devices = 0;
};
struct DeviceList {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::vector<PushDevice> devices;
};

/// Calls return at once; `done` comes later on the reactor that called. Those that write say false,
/// and nothing happens, if too much waits already.
class Devices {
  public:
    virtual ~Devices() = default;
    /// A token that another device of the same platform has (of this user or another) is taken from
    /// it: a phone has one owner. `refused`: the user has as many devices as it may.
    [[nodiscard]] virtual bool put(PushDevice device, std::size_t devices_max,
                                   std::function<void(Registered)> done) = 0;
    /// Empty `name`: all of the user.
    [[nodiscard]] virtual bool remove(const std::string& user, const std::string& name,
                                      std::function<void(Unregistered)> done) = 0;
    /// A provider says that this token is dead since then; one registered later stays. Not refused.
    virtual void drop(Platform platform, const std::string& token, WallMillis dead_since) = 0;
    virtual void list(const std::string& user, std::function<void(DeviceList)> done) = 0;
};

} // namespace fanfare::delivery
