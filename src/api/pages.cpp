// The demo page at `/`, embedded from assets/.

#include "context.hpp"

namespace fanfare::api {

// Written by the build from assets/demo.html.
extern const char demo_page[];
extern const std::size_t demo_page_size;

void add_page_routes(http::Router& router) {
    http::Route route;
    route.pattern = "/";
    route.handler = [](http::Exchange& exchange) {
        http::Response response;
        response.content_type = "text/html; charset=utf-8";
        response.body.assign(demo_page, demo_page_size);
        // The page needs nothing from elsewhere: whatever got into it could not phone home. 'self'
        // covers WebSockets of the same origin (CSP 3).
        response.headers = "Content-Security-Policy: default-src 'none'; connect-src 'self'; "
                           "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
                           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
                           "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
                           "Cache-Control: no-cache\r\n";
        exchange.respond(response);
    };
    router.add(std::move(route));
}

} // namespace fanfare::api
