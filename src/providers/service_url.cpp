#include "service_url.hpp"

#include "webpush_endpoint.hpp"

#include <stdexcept>

namespace fanfare::providers {
namespace {

constexpr std::string_view plain_scheme = "http://";

[[noreturn]] void refuse(std::string_view name, const char* why) {
    throw std::runtime_error{std::string{name} + " " + why};
}

} // namespace

ServiceUrl read_service_url(std::string_view url, std::string_view name) {
    ServiceUrl service;
    service.tls = !url.starts_with(plain_scheme);
    std::string secure{url};
    if (!service.tls) secure.insert(4, 1, 's');
    auto parsed = parse_endpoint(secure);
    if (const char* const* why = std::get_if<const char*>(&parsed)) refuse(name, *why);
    auto& endpoint = std::get<WebPushEndpoint>(parsed);
    service.host = std::move(endpoint.host);
    // The one that is meant if none is given; nobody serves http on that of https.
    service.port = !service.tls && endpoint.port == 443 ? std::uint16_t{80} : endpoint.port;
    service.path = std::move(endpoint.path);
    return service;
}

ServiceUrl read_service_origin(std::string_view url, std::string_view name) {
    ServiceUrl service = read_service_url(url, name);
    if (service.path != "/") refuse(name, "must have no path");
    return service;
}

} // namespace fanfare::providers
