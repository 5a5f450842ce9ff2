// What browsers load: the client library at `/fanfare.js`, and the demo page at `/`, both embedded
// from assets/.

#include "context.hpp"

#include <fanfare/base/json_writer.hpp>

#include <cstdint>
#include <utility>

namespace fanfare::api {

// Written by the build from assets/.
extern const char demo_page[];
extern const std::size_t demo_page_size;
extern const char demo_module[];
extern const std::size_t demo_module_size;
extern const char client_module[];
extern const std::size_t client_module_size;
extern const char client_types[];
extern const std::size_t client_types_size;

namespace {

/// Names the content, so that a browser that has it is told so in a few bytes. FNV-1a: it must be
/// the same in every process, or nodes behind one address would undo each other's caching.
std::string entity_tag(std::string_view content) {
    std::uint64_t hash = 14'695'981'039'346'656'037U;
    for (const char c : content) hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211U;
    std::string tag = "\"";
    append_number(tag, hash);
    return tag + '"';
}

/// RFC 9110 §13.1.2: a list of tags, compared weakly, or `*`.
bool has_tag(std::string_view list, std::string_view tag) {
    if (list == "*") return true;
    for (std::size_t at = list.find(tag); at != std::string_view::npos;
         at = list.find(tag, at + 1)) {
        // The quotes are part of the tag, so only its surroundings can make it another one.
        const std::size_t end = at + tag.size();
        if (end == list.size() || list[end] == ',' || list[end] == ' ' || list[end] == '\t')
            return true;
    }
    return false;
}

/// A file that is the same for everyone: no-cache means that browsers ask, and get 304.
void add_file(http::Router& router, std::string path, std::string_view content_type,
              std::string_view content, std::string headers) {
    http::Route route;
    route.pattern = std::move(path);
    std::string tag = entity_tag(content);
    headers +=
        "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nETag: " + tag + "\r\n";
    route.handler = [content_type, content, tag = std::move(tag),
                     headers = std::move(headers)](http::Exchange& exchange) {
        http::Response response;
        response.headers = headers;
        response.content_type = content_type;
        if (has_tag(exchange.head()[http::Header::if_none_match], tag))
            response.status = 304;
        else
            response.body = content;
        exchange.respond(response);
    };
    router.add(std::move(route));
}

} // namespace

void add_client_routes(http::Router& router) {
    // A module is fetched with CORS: pages of other origins may import it. It holds no secret.
    constexpr auto headers = "Access-Control-Allow-Origin: *\r\n"
                             "Cross-Origin-Resource-Policy: cross-origin\r\n";
    add_file(router, "/fanfare.js", "text/javascript; charset=utf-8",
             {client_module, client_module_size}, headers);
    add_file(router, "/fanfare.d.ts", "text/plain; charset=utf-8",
             {client_types, client_types_size}, headers);
}

void add_page_routes(http::Router& router) {
    // The page needs nothing from elsewhere: whatever got into it could not phone home. 'self'
    // covers WebSockets of the same origin (CSP 3).
    add_file(router, "/", "text/html; charset=utf-8", {demo_page, demo_page_size},
             "Content-Security-Policy: default-src 'none'; connect-src 'self'; "
             "style-src 'unsafe-inline'; script-src 'self'; img-src data:; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
             "Referrer-Policy: no-referrer\r\n");
    add_file(router, "/demo.js", "text/javascript; charset=utf-8", {demo_module, demo_module_size},
             {});
}

} // namespace fanfare::api
