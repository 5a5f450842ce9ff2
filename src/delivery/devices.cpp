#include <fanfare/delivery/devices.hpp>

#include <algorithm>
#include <array>

namespace fanfare::delivery {
namespace {

constexpr std::array<std::string_view, 3> platform_names{"ios", "android", "web"};

} // namespace

std::string_view platform_name(Platform platform) noexcept {
    return platform_names[static_cast<std::size_t>(platform)];
}

std::optional<Platform> parse_platform(std::string_view name) noexcept {
    const auto at = std::find(platform_names.begin(), platform_names.end(), name);
    if (at == platform_names.end()) return std::nullopt;
    return static_cast<Platform>(at - platform_names.begin());
}

} // namespace fanfare::delivery
