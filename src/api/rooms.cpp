// GET /api/v1/rooms …: what rooms there are, what is in them, who is in them.

#include "answer.hpp"
#include "context.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/session/json_answers.hpp>

#include <algorithm>

namespace fanfare::api {
namespace {

/// The room of the path, if it is one that a rule allows; else answers and returns null.
const std::string* require_room(Api::Context& context, http::Exchange& exchange) {
    const std::string& room = exchange.path_parameter(0);
    if (const char* const fault = room::room_name_fault(room)) {
        refuse(exchange, "room", std::string{"`room` "} + fault);
        return nullptr;
    }
    if (context.sessions.rooms().rule(room) == nullptr) {
        exchange.respond(
            http::problem(Error{Code::not_found, "no rule allows a room of this name", "room"}));
        return nullptr;
    }
    return &room;
}

void list_rooms(Api::Context& context, http::Exchange& exchange) {
    const std::string_view query = exchange.head().query;
    const auto limit = query_limit(query);
    if (!limit) return refuse(exchange, "limit", "`limit` must be an integer ≥ 1");
    const auto cursor = from_base64url(http::query_value(query, "cursor").value_or(""));
    if (!cursor) return refuse(exchange, "cursor", "`cursor` is not one that this call returned");
    // One more than asked for tells whether there is another page.
    context.sessions.rooms().list(
        http::query_value(query, "prefix").value_or(""), *cursor, *limit + 1,
        [to = AnswerTo{exchange}, page = *limit](std::vector<room::RoomInfo> rooms) {
            to.with([&](http::Response& response) {
                const bool more = rooms.size() > page;
                if (more) rooms.resize(page);
                JsonWriter json{response.body};
                json.begin_object().key("rooms").begin_array();
                for (const room::RoomInfo& room : rooms)
                    json.begin_object()
                        .field("room", room.room)
                        .field("subscribers", room.subscribers)
                        .end_object();
                json.end_array().key("cursor");
                if (more)
                    json.string(to_base64url(as_byte_view(rooms.back().room)));
                else
                    json.null();
                json.end_object();
            });
        });
}

void room_info(Api::Context& context, http::Exchange& exchange) {
    const std::string* const room = require_room(context, exchange);
    if (room == nullptr) return;
    context.sessions.rooms().info(*room, [to = AnswerTo{exchange}](const room::RoomInfo& info) {
        to.with([&](http::Response& response) {
            if (info.code != Code::ok) {
                response = http::problem(info.code, info.detail);
                return;
            }
            JsonWriter{response.body}
                .begin_object()
                .field("room", info.room)
                .field("subscribers", info.subscribers)
                .field("epoch", info.position.epoch.text())
                .field("offset", info.position.offset)
                .end_object();
        });
    });
}

void room_history(Api::Context& context, http::Exchange& exchange) {
    const std::string* const room = require_room(context, exchange);
    if (room == nullptr) return;
    const session::Options& options = context.sessions.options();
    const std::string_view text = exchange.head().query;
    room::HistoryQuery query;
    const auto limit = query_number(text, "limit", options.history_limit_default);
    if (!limit) return refuse(exchange, "limit", "`limit` must be an integer ≥ 0");
    query.limit =
        static_cast<std::size_t>(std::min<std::uint64_t>(*limit, options.history_limit_max));
    query.bytes_max = 4 * options.history_bytes_max;
    if (http::query_value(text, "since")) {
        const auto since = query_number(text, "since", 0);
        if (!since) return refuse(exchange, "since", "`since` must be an offset, an integer ≥ 0");
        Epoch epoch;
        if (const auto given = http::query_value(text, "epoch"))
            epoch = Epoch::parse(*given);
        else
            query.any_epoch = true;
        query.since = Position{epoch, *since};
    }
    const auto reverse = query_flag(text, "reverse");
    if (!reverse) return refuse(exchange, "reverse", "`reverse` must be true or false");
    query.reverse = *reverse;
    context.sessions.rooms().history(
        *room, query, [to = AnswerTo{exchange}, name = *room](const room::HistoryResult& result) {
            to.with([&](http::Response& response) {
                if (result.code != Code::ok) {
                    response = http::problem(result.code, result.detail);
                    return;
                }
                JsonWriter json{response.body};
                json.begin_object();
                session::write_history(
                    json, response.body,
                    session::HistoryOk{name, result.position, result.messages, result.more});
                json.end_object();
            });
        });
}

void room_presence(Api::Context& context, http::Exchange& exchange) {
    const std::string* const room = require_room(context, exchange);
    if (room == nullptr) return;
    if (!context.sessions.rooms().rule(*room)->presence)
        return refuse(exchange, "room", "the room's rule has no presence");
    context.sessions.rooms().presence(*room, [to = AnswerTo{exchange},
                                              name = *room](const room::PresenceResult& result) {
        to.with([&](http::Response& response) {
            JsonWriter json{response.body};
            json.begin_object();
            session::write_presence(json, session::PresenceOk{name, result.members, result.total});
            json.end_object();
        });
    });
}

} // namespace

void add_room_routes(Api::Context& context, http::Router& router) {
    const auto add = [&](const char* pattern, void (*handle)(Api::Context&, http::Exchange&)) {
        http::Route route;
        route.pattern = pattern;
        route.guard = [&context](http::Exchange& exchange) {
            return context.require(exchange, auth::Scope::read) != nullptr;
        };
        route.handler = [&context, handle](http::Exchange& exchange) { handle(context, exchange); };
        router.add(std::move(route));
    };
    add("/api/v1/rooms", list_rooms);
    add("/api/v1/rooms/{room}", room_info);
    add("/api/v1/rooms/{room}/history", room_history);
    add("/api/v1/rooms/{room}/presence", room_presence);
}

} // namespace fanfare::api
