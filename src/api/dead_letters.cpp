// /api/v1/dead-letters…: what push gave up, for operators to look at, mend and send again.

#include "answer.hpp"
#include "context.hpp"
#include "dead_letter_body.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/dead_letters.hpp>
#include <fanfare/delivery/inboxes.hpp>

#include <algorithm>
#include <memory>
#include <utility>

namespace fanfare::api {
namespace {

using delivery::DeadLetter;
using delivery::LetterOrder;
using delivery::LettersDone;
using delivery::LetterSkip;
using Act = delivery::LetterOrder::Act;

constexpr const char* store_is_busy = "too many operations wait for the store";
constexpr const char* no_such_letter = "there is no dead letter of this id";

void write_members(JsonWriter& json, const DeadLetter& letter) {
    json.key("id")
        .integer(letter.id)
        .field("notification_id", letter.notification.text())
        .field("user_id", letter.user)
        .field("device_id", letter.device);
    if (letter.platform) json.field("platform", delivery::platform_name(*letter.platform));
    if (!letter.provider.empty()) json.field("provider", letter.provider);
    if (letter.status != 0) json.field("status", static_cast<std::uint64_t>(letter.status));
    json.field("reason", letter.reason)
        .field("attempts", std::uint64_t{letter.attempts})
        .field("time", rfc3339(letter.time))
        .field("notification_status", delivery::status_name(letter.notification_status))
        .field("expires", rfc3339(letter.expires))
        .field("priority", delivery::priority_name(letter.priority));
    if (!letter.category.empty()) json.field("category", letter.category);
    json.field_bool("edited", letter.edited);
    if (letter.ttl) json.key("ttl").integer(letter.ttl->count());
}

// --- reading ---

std::string cursor_behind(const DeadLetter& letter) {
    return to_base64url(as_byte_view(std::to_string(letter.id)));
}

void list(Api::Context& context, http::Exchange& exchange) {
    const std::string_view text = exchange.head().query;
    delivery::LetterQuery query;
    if (const Error error = parse_letter_query(text, query)) {
        exchange.respond(http::problem(error));
        return;
    }
    const auto limit = query_limit(text);
    if (!limit) return refuse(exchange, "limit", "`limit` must be an integer ≥ 1");
    query.limit = *limit;
    if (const auto cursor = http::query_value(text, "cursor")) {
        const auto id = from_base64url(*cursor);
        query.after = id ? parse_letter_id(*id) : std::nullopt;
        if (!query.after)
            return refuse(exchange, "cursor", "`cursor` is not one that this call returned");
    }
    context.letters->list(std::move(query),
                          [to = AnswerTo{exchange}](const delivery::LetterPage& page) {
                              if (to.failed(page.code, page.detail)) return;
                              to.with([&](http::Response& response) {
                                  JsonWriter json{response.body};
                                  json.begin_object().key("dead_letters").begin_array();
                                  for (const DeadLetter& letter : page.letters) {
                                      json.begin_object();
                                      write_members(json, letter);
                                      json.end_object();
                                  }
                                  json.end_array();
                                  if (page.more)
                                      json.field("cursor", cursor_behind(page.letters.back()));
                                  json.end_object();
                              });
                          });
}

/// The letter of the path; else answers and returns nothing.
std::optional<std::int64_t> require_letter(http::Exchange& exchange) {
    const auto id = parse_letter_id(exchange.path_parameter(0));
    if (!id) exchange.respond(http::problem(Code::not_found, no_such_letter));
    return id;
}

void answer_letter(Api::Context& context, std::int64_t id, const AnswerTo& to) {
    context.letters->find(id, [to](const delivery::FoundLetter& found) {
        if (to.failed(found.code, found.detail)) return;
        to.with([&](http::Response& response) {
            JsonWriter json{response.body};
            json.begin_object();
            write_members(json, found.letter);
            json.key("content").raw(found.letter.content).end_object();
        });
    });
}

void show(Api::Context& context, http::Exchange& exchange) {
    if (const auto id = require_letter(exchange)) answer_letter(context, *id, AnswerTo{exchange});
}

// --- one letter ---

void edit(Api::Context& context, http::Exchange& exchange) {
    const auto id = require_letter(exchange);
    if (!id) return;
    delivery::LetterEdit edit;
    if (const Error error = parse_letter_edit(exchange.body(), edit)) {
        exchange.respond(http::problem(error));
        return;
    }
    // As a notification's own.
    if (edit.ttl)
        edit.ttl = std::min(
            *edit.ttl, std::chrono::ceil<std::chrono::seconds>(context.inboxes->options().ttl));
    const AnswerTo to{exchange};
    const auto answer = [to, &context, id = *id](const Error& error) {
        if (!error) return answer_letter(context, id, to);
        to.with([&](http::Response& response) { response = http::problem(error); });
    };
    if (!context.letters->edit(*id, std::move(edit), context.options.item_bytes_max, answer))
        static_cast<void>(to.failed(Code::unavailable, store_is_busy));
}

/// Why the only letter of an order was left alone, for people.
const char* skip_text(const LettersDone& done) {
    const auto at = std::find_if(done.skipped.begin(), done.skipped.end(),
                                 [](std::uint64_t count) { return count != 0; });
    switch (static_cast<LetterSkip>(at - done.skipped.begin())) {
    case LetterSkip::device_gone:
        return "the user has no device of that name any more";
    case LetterSkip::no_provider:
        return "no provider is configured for the device";
    case LetterSkip::acknowledged:
        return "the user has acknowledged the notification";
    case LetterSkip::over:
        return "the notification was cancelled, or replaced by a newer one";
    case LetterSkip::expired:
        return "the notification has expired: give the letter a `ttl`";
    case LetterSkip::notification_gone:
        return "the notification is not kept any more, and now the letter is gone too";
    case LetterSkip::not_found:
        break;
    }
    return no_such_letter;
}

LetterOrder order_for(std::int64_t id, Act act) {
    LetterOrder order;
    order.act = act;
    order.ids = {id};
    return order;
}

/// True: it was done; else the problem is answered.
bool was_done(const AnswerTo& to, const LettersDone& done) {
    if (to.failed(done.code, done.detail)) return false;
    if (done.done == 1) return true;
    const bool unknown = done.skipped[static_cast<std::size_t>(LetterSkip::not_found)] != 0;
    static_cast<void>(to.failed(unknown ? Code::not_found : Code::conflict, skip_text(done)));
    return false;
}

void redrive_one(Api::Context& context, http::Exchange& exchange) {
    const auto id = require_letter(exchange);
    if (!id) return;
    context.letters->carry_out(
        order_for(*id, Act::redrive), [to = AnswerTo{exchange}, id = *id](const LettersDone& done) {
            if (!was_done(to, done)) return;
            to.with([id](http::Response& response) {
                JsonWriter json{response.body};
                json.begin_object().key("id").integer(id).field_bool("redriven", true).end_object();
            });
        });
}

void discard_one(Api::Context& context, http::Exchange& exchange) {
    const auto id = require_letter(exchange);
    if (!id) return;
    context.letters->carry_out(order_for(*id, Act::discard),
                               [to = AnswerTo{exchange}](const LettersDone& done) {
                                   if (!was_done(to, done)) return;
                                   to.with([](http::Response& response) { response.status = 204; });
                               });
}

// --- many ---

void answer_done(const AnswerTo& to, const char* what, const LettersDone& done) {
    to.with([&](http::Response& response) {
        if (done.code != Code::ok) {
            // What was done stays done: whoever asks again goes on from there.
            response = http::problem(done.code, std::string{done.detail} + "; " +
                                                    std::to_string(done.done) + " were " + what +
                                                    " before");
            return;
        }
        JsonWriter json{response.body};
        json.begin_object().field(what, done.done).key("skipped").begin_object();
        for (std::size_t i = 0; i < done.skipped.size(); ++i)
            if (done.skipped[i] != 0)
                json.field(delivery::letter_skip_name(static_cast<LetterSkip>(i)), done.skipped[i]);
        json.end_object().field("remaining", done.remaining).end_object();
    });
}

void carry_out(Api::Context& context, http::Exchange& exchange, Act act, const char* what) {
    LetterOrder order;
    order.act = act;
    if (const Error error = parse_letter_order(exchange.body(), order)) {
        exchange.respond(http::problem(error));
        return;
    }
    context.letters->carry_out(
        std::move(order),
        [to = AnswerTo{exchange}, what](const LettersDone& done) { answer_done(to, what, done); });
}

void redrive(Api::Context& context, http::Exchange& exchange) {
    carry_out(context, exchange, Act::redrive, "redriven");
}

void discard(Api::Context& context, http::Exchange& exchange) {
    carry_out(context, exchange, Act::discard, "discarded");
}

} // namespace

void add_dead_letter_routes(Api::Context& context, http::Router& router) {
    const auto add = [&](http::Method method, const char* pattern, bool body,
                         void (*handle)(Api::Context&, http::Exchange&)) {
        http::Route route;
        route.method = method;
        route.pattern = pattern;
        route.body_bytes_max = body ? context.options.body_bytes_max : 0;
        route.guard = [&context, body](http::Exchange& exchange) {
            return context.require(exchange, auth::Scope::admin) != nullptr &&
                   (!body || require_json(exchange)) && require_store(context, exchange);
        };
        route.handler = [&context, handle](http::Exchange& exchange) { handle(context, exchange); };
        router.add(std::move(route));
    };
    using http::Method;
    add(Method::get, "/api/v1/dead-letters", false, list);
    add(Method::post, "/api/v1/dead-letters/redrive", true, redrive);
    add(Method::post, "/api/v1/dead-letters/discard", true, discard);
    add(Method::get, "/api/v1/dead-letters/{id}", false, show);
    add(Method::patch, "/api/v1/dead-letters/{id}", true, edit);
    add(Method::delete_, "/api/v1/dead-letters/{id}", false, discard_one);
    // An empty object (what some clients send) does no harm.
    add(Method::post, "/api/v1/dead-letters/{id}/redrive", true, redrive_one);
}

} // namespace fanfare::api
