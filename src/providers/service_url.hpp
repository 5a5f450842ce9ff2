#pragma once
// Where a vendor's service is, as an operator or Google's file names it.

#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare::providers {

struct ServiceUrl {
    bool tls = true; // false: http, which tests use
    std::string host;
    std::uint16_t port = 443;
    std::string path; // "/" if there is none
};

/// Throws std::runtime_error with one sentence that begins with `name`, what operators call it.
[[nodiscard]] ServiceUrl read_service_url(std::string_view url, std::string_view name);
/// The same for one whose paths are ours.
[[nodiscard]] ServiceUrl read_service_origin(std::string_view url, std::string_view name);

} // namespace fanfare::providers
