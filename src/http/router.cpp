#include <fanfare/base/assert.hpp>
#include <fanfare/http/router.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace fanfare::http {
namespace {

/// The segments of a path that begins with '/'; nothing if there are too many.
struct Segments {
    std::array<std::string_view, Router::segments_max> items;
    std::size_t count = 0;
};

bool split(std::string_view path, Segments& out) {
    if (path.empty() || path.front() != '/') return false;
    path.remove_prefix(1);
    for (;;) {
        if (out.count == out.items.size()) return false;
        const auto slash = path.find('/');
        out.items[out.count++] = path.substr(0, slash);
        if (slash == std::string_view::npos) return true;
        path.remove_prefix(slash + 1);
    }
}

constexpr std::string_view api_prefix = "/api/";

/// "v1" of "/api/v1/publish"; empty for other paths.
std::string_view api_version(std::string_view path) {
    if (!path.starts_with(api_prefix)) return {};
    path.remove_prefix(api_prefix.size());
    return path.substr(0, path.find('/'));
}

// A path quoted in an answer is for people; a long one helps nobody.
constexpr std::size_t quoted_path_max = 100;

std::string quoted(std::string_view path) {
    if (path.size() <= quoted_path_max) return std::string{path};
    return std::string{path.substr(0, quoted_path_max)} + "…";
}

} // namespace

/// Cells by route, then by status: a route sees a handful of statuses, so a short list is searched.
struct Router::Counts {
    struct Cell {
        int status;
        Counter* counter;
    };
    std::vector<std::vector<Cell>> by_route; // the last one: no_route
    std::vector<Histogram*> times;           // by route; null: not observed yet
};

Router::Router(Metrics& metrics) : metrics_(metrics), counts_(std::make_unique<Counts>()) {}

Router::~Router() = default;

std::size_t Router::Path::route_for(Method method) const noexcept {
    const std::size_t route = routes[static_cast<std::size_t>(method)];
    if (route == no_route && method == Method::head) return route_for(Method::get);
    return route;
}

void Router::add(Route route) {
    FANFARE_ASSERT(route.handler || route.open_body);
    auto existing = std::find_if(paths_.begin(), paths_.end(),
                                 [&](const auto& p) { return p->pattern == route.pattern; });
    if (existing == paths_.end()) {
        auto path = std::make_unique<Path>();
        path->pattern = route.pattern;
        path->routes.fill(no_route);
        Segments segments;
        FANFARE_ASSERT(split(route.pattern, segments));
        bool parameters = false;
        for (std::size_t i = 0; i < segments.count; ++i) {
            const std::string_view text = segments.items[i];
            const bool parameter = text.starts_with('{') && text.ends_with('}');
            parameters = parameters || parameter;
            path->segments.emplace_back(parameter ? std::string_view{} : text);
            // An empty literal would read as a parameter; only the root path has one.
            FANFARE_ASSERT(parameter || !text.empty() || route.pattern == "/");
        }
        if (!parameters) {
            plain_.emplace(path->pattern, path.get());
        } else {
            // Most literal first: '{' of a parameter sorts behind every literal.
            const auto rank = [](const Path& a, const Path& b) {
                return std::lexicographical_compare(
                    a.segments.begin(), a.segments.end(), b.segments.begin(), b.segments.end(),
                    [](const std::string& x, const std::string& y) {
                        return std::pair{x.empty(), std::string_view{x}} <
                               std::pair{y.empty(), std::string_view{y}};
                    });
            };
            const auto at =
                std::upper_bound(patterns_.begin(), patterns_.end(), path.get(),
                                 [&](const Path* a, const Path* b) { return rank(*a, *b); });
            patterns_.insert(at, path.get());
        }
        const std::string_view version = api_version(route.pattern);
        if (!version.empty() &&
            std::find(api_versions_.begin(), api_versions_.end(), version) == api_versions_.end())
            api_versions_.emplace_back(version);
        paths_.push_back(std::move(path));
        existing = std::prev(paths_.end());
    }
    std::size_t& slot = (*existing)->routes[static_cast<std::size_t>(route.method)];
    FANFARE_ASSERT(slot == no_route);
    slot = routes_.size();
    routes_.push_back(std::make_unique<Route>(std::move(route)));
}

void Router::set_gate(std::function<bool(Exchange&)> gate) {
    gate_ = std::move(gate);
}

const Router::Path* Router::find(std::string_view path,
                                 std::vector<std::string_view>& parameters) const {
    if (const auto plain = plain_.find(path); plain != plain_.end()) return plain->second;
    Segments segments;
    if (!split(path, segments)) return nullptr;
    for (const Path* const candidate : patterns_) {
        if (candidate->segments.size() != segments.count) continue;
        bool fits = true;
        for (std::size_t i = 0; fits && i < segments.count; ++i) {
            const std::string& wanted = candidate->segments[i];
            fits = wanted.empty() ? !segments.items[i].empty() : wanted == segments.items[i];
        }
        if (!fits) continue;
        for (std::size_t i = 0; i < segments.count; ++i)
            if (candidate->segments[i].empty()) parameters.push_back(segments.items[i]);
        return candidate;
    }
    return nullptr;
}

std::string Router::allow(const Path& path) {
    std::string names;
    for (std::size_t i = 0; i < methods; ++i) {
        const auto method = static_cast<Method>(i);
        const bool known = method == Method::options || path.route_for(method) != no_route;
        if (!known) continue;
        if (!names.empty()) names += ", ";
        names += method_name(method);
    }
    return "Allow: " + names + "\r\n";
}

Response Router::not_found(std::string_view path) const {
    const std::string_view version = api_version(path);
    if (!version.empty() && !api_versions_.empty() &&
        std::find(api_versions_.begin(), api_versions_.end(), version) == api_versions_.end()) {
        std::string detail =
            "there is no API version \"" + quoted(version) + "\"; this gateway has ";
        for (const std::string& known : api_versions_)
            detail += (&known == &api_versions_.front() ? "/api/" : ", /api/") + known;
        return problem(Code::not_found, std::move(detail));
    }
    return problem(Code::not_found, "nothing is served at \"" + quoted(path) + "\"");
}

Router::Match Router::match(const RequestHead& head) const {
    Match match;
    if (head.path == "*") { // OPTIONS *, RFC 9110 §9.3.7: about the server as a whole
        match.refusal.status = 204;
        match.refusal.content_type = {};
        match.refusal.headers = "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";
        return match;
    }
    std::vector<std::string_view> parameters;
    const Path* const path = find(head.path, parameters);
    if (path == nullptr) {
        match.refusal = not_found(head.path);
        return match;
    }
    const std::size_t route = path->route_for(head.method);
    if (route == no_route) {
        if (head.method == Method::options) {
            match.refusal.status = 204;
            match.refusal.content_type = {};
        } else {
            match.refusal = problem(Code::method_not_allowed,
                                    path->pattern + " does not take this method; see Allow");
        }
        match.refusal.headers = allow(*path);
        return match;
    }
    match.parameters.reserve(parameters.size());
    for (const std::string_view encoded : parameters) {
        auto decoded = percent_decode(encoded);
        if (!decoded) {
            match.parameters.clear();
            match.refusal =
                problem(Code::bad_request, "the path segment \"" + quoted(encoded) +
                                               "\" has a broken percent escape or is not UTF-8");
            return match;
        }
        match.parameters.push_back(std::move(*decoded));
    }
    match.route = routes_[route].get();
    match.route_index = route;
    return match;
}

void Router::count(std::size_t route_index, int status) {
    auto& lists = counts_->by_route;
    if (lists.size() != routes_.size() + 1) lists.resize(routes_.size() + 1);
    const bool known = route_index < routes_.size();
    auto& cells = lists[known ? route_index : routes_.size()];
    for (const Counts::Cell& cell : cells)
        if (cell.status == status) return cell.counter->add();
    const Route* const route = known ? routes_[route_index].get() : nullptr;
    Counter& counter = metrics_.counter(
        "http_requests_total", "Answered HTTP requests; without a route: unmatched or malformed.",
        {{"route", route != nullptr ? route->pattern : ""},
         {"method", route != nullptr ? std::string{method_name(route->method)} : ""},
         {"status", std::to_string(status)}});
    cells.push_back({status, &counter});
    counter.add();
}

void Router::time(std::size_t route_index, double seconds) {
    if (route_index >= routes_.size()) return;
    auto& times = counts_->times;
    if (times.size() != routes_.size()) times.resize(routes_.size());
    Histogram*& histogram = times[route_index];
    if (histogram == nullptr)
        histogram = &metrics_.histogram(
            "http_request_seconds", "From an HTTP request's head to its answer, by route.",
            {{"route", routes_[route_index]->pattern},
             {"method", std::string{method_name(routes_[route_index]->method)}}});
    histogram->observe(seconds);
}

} // namespace fanfare::http
