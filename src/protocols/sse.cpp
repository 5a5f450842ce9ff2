// From `GET /sse` to a stream: query, token, rights, cursor.

#include "cursor.hpp"
#include "sse_ack.hpp"
#include "sse_stream.hpp"
#include "sse_text.hpp"

#include <fanfare/base/ids.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/protocols/sse.hpp>
#include <fanfare/ws/origin.hpp>

#include <algorithm>
#include <charconv>

namespace fanfare::protocols {
namespace {

using http::Header;

/// A query that cannot be served, as a problem's status and error.
struct Refusal {
    int status = 400;
    Error error;
};

Refusal bad(std::string field, std::string message) {
    return {400, Error{Code::bad_request, std::move(message), std::move(field)}};
}

/// What the URL asks for; the token is taken out of it.
struct Query {
    SseStream::Request request;
    std::string token;
    std::optional<std::string> cursor;
};

std::optional<Refusal> add_room(std::vector<std::string>& rooms, std::string name,
                                std::size_t rooms_max) {
    if (const char* const fault = room::room_name_fault(name))
        return bad("room", std::string{"`room` "} + fault);
    if (std::find(rooms.begin(), rooms.end(), name) != rooms.end())
        return bad("room", "`room` names the same room twice");
    if (rooms.size() == rooms_max)
        return bad("room", "at most " + std::to_string(rooms_max) + " rooms in one stream");
    rooms.push_back(std::move(name));
    return std::nullopt;
}

std::optional<Refusal> parse(std::string_view text, std::size_t rooms_max, Query& query) {
    auto items = http::parse_query(text);
    if (!items) return bad("query", "the query has a broken escape or is not UTF-8");
    for (http::QueryItem& item : *items) {
        if (item.name == "room") {
            if (auto refusal = add_room(query.request.rooms, std::move(item.value), rooms_max))
                return refusal;
        } else if (item.name == "token") {
            query.token = std::move(item.value);
        } else if (item.name == "lastEventId") {
            if (!item.value.empty()) query.cursor = std::move(item.value);
        } else if (item.name == "device") {
            if (const char* const fault = room::id_fault(item.value))
                return bad("device", std::string{"`device` "} + fault);
            query.request.device = std::move(item.value);
        } else if (item.name == "last") {
            const char* const end = item.value.data() + item.value.size();
            const auto [rest, fault] = std::from_chars(item.value.data(), end, query.request.last);
            if (item.value.empty() || rest != end || fault != std::errc{})
                return bad("last", "`last` must be an integer from 0 to 4294967295");
        }
        // Other names are the client's business (cache busters and the like).
    }
    if (query.request.rooms.empty()) return bad("room", "name at least one room: ?room=…");
    return std::nullopt;
}

std::vector<Position> positions_of(const std::string& cursor,
                                   const std::vector<std::string>& rooms) {
    const RoomsTag tag =
        rooms.size() == 1 ? rooms_tag(std::string_view{rooms.front()}) : rooms_tag(rooms);
    std::vector<Position> positions(rooms.size()); // no room has these: nothing is recovered
    if (const auto decoded = decode_cursor(cursor, tag, rooms.size()))
        for (std::size_t i = 0; i < rooms.size(); ++i)
            positions[i] = {Epoch::abridged((*decoded)[i].epoch), (*decoded)[i].offset};
    return positions;
}

/// CORS lines for a request's Origin, or nothing if it has none or may not read the stream.
std::string cors_headers(const http::RequestHead& head, const session::Options& options) {
    if (!head.has(Header::origin)) return {};
    const std::string_view origin = head[Header::origin];
    const auto& allowed = options.allowed_origins;
    const bool any = std::find(allowed.begin(), allowed.end(), "*") != allowed.end();
    if (any) return "Access-Control-Allow-Origin: *\r\n";
    if (!ws::is_origin_allowed(origin, head[Header::host], allowed)) return "Vary: Origin\r\n";
    std::string lines = "Access-Control-Allow-Origin: ";
    lines.append(origin).append("\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n");
    return lines;
}

/// The request's id, if it is fit to be repeated.
std::string request_id_of(const http::RequestHead& head) {
    const std::string_view id = head[Header::x_request_id];
    const bool sane = id.size() <= 128 && std::all_of(id.begin(), id.end(),
                                                      [](char c) { return c > ' ' && c < '\x7f'; });
    return sane ? std::string{id} : std::string{};
}

std::string response_head(const std::string& cors, std::string_view request_id, bool chunked) {
    std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                       "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n";
    head += cors;
    if (!request_id.empty()) head.append("X-Request-Id: ").append(request_id).append("\r\n");
    head += chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Connection: close\r\n\r\n";
    return head;
}

} // namespace

SseService::Shared::Shared(session::Sessions& owner)
    : sessions(owner),
      streams(owner.reactor().metrics(), "sse_streams_total", "SSE streams by outcome.", "outcome"),
      connections(owner.reactor().metrics().gauge(
          "connections", "Open connections by what they speak.", {{"transport", "sse"}})) {
    for (const std::string_view outcome : {"opened", "turned_away", "unauthorized", "forbidden"})
        static_cast<void>(streams[outcome]);
    std::string chunk;
    append_chunk(chunk, ":\n\n");
    heartbeat = LocalBytes::copy_of(chunk);
}

SseService::SseService(session::Sessions& sessions) : shared_(std::make_unique<Shared>(sessions)) {}
SseService::~SseService() = default;

void SseService::open(http::Exchange& exchange) {
    const http::RequestHead& head = exchange.head();
    Shared& shared = *shared_;
    const session::Options& options = shared.sessions.options();
    const std::string cors = cors_headers(head, options);
    const auto refuse = [&shared, cors](http::Exchange& to, int status, const Error& error) {
        shared.streams[code_name(error.code)].add();
        http::Response response = http::problem(error);
        if (status != response.status) response = http::problem(status, error);
        response.headers += cors;
        if (status == 401) response.headers += "WWW-Authenticate: Bearer\r\n";
        to.respond(response);
    };

    Query query;
    if (const auto refusal = parse(head.query, options.sse_rooms_max, query)) {
        refuse(exchange, refusal->status, refusal->error);
        return;
    }
    if (!head[Header::last_event_id].empty()) query.cursor = head[Header::last_event_id];
    if (query.cursor) query.request.since = positions_of(*query.cursor, query.request.rooms);
    const std::string_view bearer = http::bearer_token(head);
    if (!bearer.empty()) query.token = bearer;

    // What happens once it is known who asks.
    const auto serve = [&shared, refuse, cors, request = std::move(query.request),
                        head_only = head.method == http::Method::head,
                        request_id = request_id_of(head)](http::Exchange& to,
                                                          const session::IdentityRef& identity) {
        session::Sessions& sessions = shared.sessions;
        if (!identity && !sessions.options().anonymous) {
            refuse(to, 401, Error{Code::unauthorized, "a token is needed", {}});
            return;
        }
        for (const std::string& room : request.rooms)
            if (Error fault = sessions.subscribe_fault(identity.get(), room)) {
                // Not 404 or 503: those say nothing more to an EventSource, which gives up on all.
                const int status = fault.code == Code::unauthorized ? 401
                                   : fault.code == Code::forbidden  ? 403
                                                                    : 400;
                fault.message = "room `" + room + "`: " + fault.message;
                refuse(to, status, fault);
                return;
            }
        if (head_only) {
            http::Response response;
            response.content_type = "text/event-stream";
            response.headers = cors + "Cache-Control: no-cache, no-transform\r\n";
            to.respond(response);
            return;
        }
        shared.streams["opened"].add();
        http::Detached detached = to.detach();
        const std::string head_bytes = response_head(cors, request_id, detached.chunked);
        auto stream = std::make_unique<SseStream>(shared, std::move(detached), request);
        SseStream& raw = *stream;
        sessions.reactor().adopt(std::move(stream));
        raw.start(head_bytes, identity);
    };

    if (query.token.empty()) {
        serve(exchange, nullptr);
        return;
    }
    shared.sessions.authorizer().authenticate(
        std::move(query.token),
        [serve, refuse, reactor = &exchange.reactor(),
         handle = exchange.handle()](const session::IdentityRef& identity, const Error& error) {
            http::Exchange* const open = http::find_exchange(*reactor, handle);
            if (open == nullptr) return;
            if (identity)
                serve(*open, identity);
            else
                refuse(*open, 401, error);
        });
}

void SseService::preflight(http::Exchange& exchange) {
    http::Response response;
    response.status = 204;
    response.content_type = {};
    response.headers = "Allow: GET, HEAD, OPTIONS\r\n";
    const std::string cors = cors_headers(exchange.head(), shared_->sessions.options());
    response.headers += cors;
    if (cors.find("Allow-Origin") != std::string::npos)
        response.headers += "Access-Control-Allow-Methods: GET, POST\r\n"
                            "Access-Control-Allow-Headers: authorization, cache-control, "
                            "content-type, last-event-id\r\n"
                            "Access-Control-Max-Age: 7200\r\n";
    exchange.respond(response);
}

namespace {

/// An acknowledgement on its way: from its exchange to the reactor of the session, and back.
struct AckRequest {
    net::Reactor& origin;
    net::Handle exchange;
    std::string cors;
    SseAck ack;
    std::string user;

    void answer(const Error& error) const {
        http::Exchange* const open = http::find_exchange(origin, exchange);
        if (open == nullptr) return;
        http::Response response;
        if (error) {
            response = http::problem(error);
            if (response.status == 401) response.headers += "WWW-Authenticate: Bearer\r\n";
        } else {
            response.status = 204;
            response.content_type = {};
        }
        response.headers += cors;
        open->respond(response);
    }
};
using AckRequestRef = std::shared_ptr<AckRequest>;

/// On the session's reactor.
void acknowledge_there(session::Sessions& sessions, const AckRequestRef& request) {
    session::Session* const session = sessions.find_id(request->ack.session);
    const auto answer = [request](const Error& error) {
        request->origin.post(std::function<void()>{[request, error] { request->answer(error); }});
    };
    // Whether another user has such a session is nobody's business.
    if (session == nullptr || session->user() != request->user)
        return answer({Code::not_found, "no such session is open", "session"});
    session->acknowledge(request->ack.room, request->ack.offset,
                         [answer](const Error& error, std::uint64_t) { answer(error); });
}

} // namespace

void SseService::acknowledge(http::Exchange& exchange) {
    session::Sessions& sessions = shared_->sessions;
    auto request =
        std::make_shared<AckRequest>(AckRequest{exchange.reactor(),
                                                exchange.handle(),
                                                cors_headers(exchange.head(), sessions.options()),
                                                {},
                                                {}});
    std::string token{http::bearer_token(exchange.head())};
    if (token.empty()) token = http::query_value(exchange.head().query, "token").value_or("");
    if (token.empty()) return request->answer({Code::unauthorized, "an inbox needs a token", {}});
    auto parsed = parse_sse_ack(exchange.body());
    if (const auto* error = std::get_if<Error>(&parsed)) return request->answer(*error);
    request->ack = std::move(std::get<SseAck>(parsed));
    sessions.authorizer().authenticate(
        std::move(token),
        [&sessions, request](const session::IdentityRef& identity, const Error& error) {
            if (!identity) return request->answer(error);
            request->user = identity->user;
            const auto reactor = sessions.reactor_of(request->ack.session);
            if (!reactor)
                return request->answer({Code::not_found, "no such session is open", "session"});
            session::Sessions* const there = sessions.all()[*reactor];
            there->reactor().post(
                std::function<void()>{[there, request] { acknowledge_there(*there, request); }});
        });
}

void SseService::turn_away(http::Exchange& exchange) {
    shared_->streams["turned_away"].add();
    http::Response response;
    response.content_type = "text/event-stream";
    response.body = "retry: ";
    append_number(response.body, 2'000 + random_u64() % 28'001);
    response.body += "\n\n";
    response.headers = "Cache-Control: no-cache, no-transform\r\n";
    response.headers += cors_headers(exchange.head(), shared_->sessions.options());
    response.close = true;
    exchange.respond(response);
}

} // namespace fanfare::protocols
