#pragma once
// Method and path to handler. 404 for an unknown path, 405 with Allow for a known one, OPTIONS and
// HEAD where GET exists.

#include <fanfare/base/metrics.hpp>
#include <fanfare/http/exchange.hpp>
#include <fanfare/http/message.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::http {

struct Route {
    Method method = Method::get;
    /// "/api/v1/rooms/{room}/history": `{…}` takes one non-empty segment, percent-decoded after
    /// matching (so `%2F` stays inside a segment).
    std::string pattern;
    std::function<void(Exchange&)> handler;
    /// Largest body that is collected; more: 413. 0: a body is refused with 413.
    std::size_t body_bytes_max = 0;
    /// Runs when the head is complete, before any of the body is read. Answers itself and returns
    /// false to refuse (401, 403, 415, 503 …).
    std::function<bool(Exchange&)> guard;
    /// If set and it returns a sink, the body flows into that instead of being collected; the
    /// sink answers, `handler` is not called. Null: collect.
    std::function<std::unique_ptr<BodySink>(Exchange&)> open_body;
};

/// The routes of one reactor. Filled at start-up, only read while requests are served, but for the
/// counters. Of several patterns that fit a path, the one with a literal segment at the first
/// difference wins.
class Router {
  public:
    /// `route_index` of requests that no route took.
    static constexpr std::size_t no_route = ~std::size_t{0};
    /// Paths with more segments are not found, patterns with more are refused.
    static constexpr std::size_t segments_max = 16;

    explicit Router(Metrics& metrics);
    ~Router();
    Router(const Router&) = delete;
    Router& operator=(const Router&) = delete;

    /// Start-up only. A pattern that is malformed or already there for the method is our own bug.
    void add(Route route);
    /// Asked first for every request, before routing: true = it has answered (drain, shed, Host).
    void set_gate(std::function<bool(Exchange&)> gate);
    [[nodiscard]] const std::function<bool(Exchange&)>& gate() const noexcept { return gate_; }

    struct Match {
        const Route* route = nullptr; // null: `refusal` is the answer
        std::vector<std::string> parameters;
        Response refusal;
        std::size_t route_index = no_route; // for `count`
    };
    /// OPTIONS is answered with 204 and Allow where a path has no OPTIONS route; HEAD goes to the
    /// GET route. Without parameters nothing is allocated. Routes are not added any more.
    [[nodiscard]] Match match(const RequestHead& head) const;
    /// Counts an answer in `fanfare_http_requests_total{route,method,status}`.
    void count(std::size_t route_index, int status);
    /// Observes `fanfare_http_request_seconds{route}`: from the request's head to its answer.
    void time(std::size_t route_index, double seconds);

  private:
    static constexpr std::size_t methods = static_cast<std::size_t>(Method::other) + 1;
    /// One pattern with the route of each method.
    struct Path {
        std::string pattern;
        std::vector<std::string> segments; // empty text: takes any non-empty segment
        std::array<std::size_t, methods> routes;
        [[nodiscard]] std::size_t route_for(Method method) const noexcept;
    };
    struct Counts;

    [[nodiscard]] const Path* find(std::string_view path,
                                   std::vector<std::string_view>& parameters) const;
    [[nodiscard]] Response not_found(std::string_view path) const;
    [[nodiscard]] static std::string allow(const Path& path);

    // constant after start-up
    std::vector<std::unique_ptr<Route>> routes_; // their addresses are given out
    std::vector<std::unique_ptr<Path>> paths_;
    std::map<std::string, const Path*, std::less<>> plain_; // patterns without parameters
    std::vector<const Path*> patterns_;                     // the others, most literal first
    std::vector<std::string> api_versions_;                 // "v1", from "/api/v1/…"
    std::function<bool(Exchange&)> gate_;
    // this reactor's thread only
    Metrics& metrics_;
    std::unique_ptr<Counts> counts_;
};

} // namespace fanfare::http
