#include "publisher.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace fanfare::api {
namespace {

void write_error(std::string& out, const Error& error) {
    JsonWriter json{out};
    json.begin_object().key("error").begin_object();
    json.field("code", code_name(error.code)).field("message", error.message);
    if (!error.field.empty()) json.field("field", error.field);
    json.end_object().end_object();
}

/// Composed aside, since each piece that is appended has its price.
void append_position(std::string& out, const Position& position) {
    constexpr std::string_view before = R"(,"epoch":")";
    constexpr std::string_view between = R"(","offset":)";
    const std::string_view epoch = position.epoch.text();
    std::array<char, 64> text; // 10, 8, 11 and at most 20
    char* end = std::copy(before.begin(), before.end(), text.data());
    end = std::copy(epoch.begin(), epoch.end(), end);
    end = std::copy(between.begin(), between.end(), end);
    end = std::to_chars(end, text.data() + text.size(), position.offset).ptr;
    out.append(text.data(), static_cast<std::size_t>(end - text.data()));
}

void write_result(std::string& out, std::string_view room, const room::PublishResult& result) {
    if (result.code != Code::ok) {
        write_error(out, {result.code, result.detail, {}});
        return;
    }
    out += "{\"room\":";
    append_json_string(out, room);
    if (!result.ephemeral) append_position(out, result.position);
    if (result.duplicate) out += ",\"duplicate\":true";
    out += '}';
}

std::uint64_t fingerprint(const PublishBody& body) {
    std::string asked;
    for (const std::string_view room : body.rooms) asked.append(room).append("\n");
    asked.append(body.event).append(body.ephemeral ? "\n1\n" : "\n0\n").append(body.data);
    return lasting_fingerprint(asked);
}

bool is_done(const room::PublishResult& result) {
    return result.position.offset != 0 || result.ephemeral;
}

} // namespace

void write_outcome(std::string& out, const Outcome& outcome) {
    if (outcome.error) {
        write_error(out, outcome.error);
        return;
    }
    if (!outcome.many) {
        write_result(out, outcome.rooms[0], outcome.results.front());
        return;
    }
    // A repeat is marked once, for the whole call: the results are the first answer's.
    out += "{\"results\":[";
    bool duplicate = false;
    for (std::size_t i = 0; i < outcome.results.size(); ++i) {
        if (i != 0) out += ',';
        room::PublishResult result = outcome.results[i];
        duplicate |= std::exchange(result.duplicate, false);
        write_result(out, outcome.rooms[i], result);
    }
    out += duplicate ? "],\"duplicate\":true}" : "]}";
}

Error failure_of(const Outcome& outcome) {
    if (outcome.error) return outcome.error;
    for (const room::PublishResult& result : outcome.results)
        if (result.code == Code::ok) return {};
    const room::PublishResult& first = outcome.results.front();
    return {first.code, first.detail, {}};
}

Publisher::Publisher(room::Rooms& rooms, room::IdempotencyLog& idempotency)
    : rooms_(rooms), idempotency_(idempotency) {}

Publisher::~Publisher() = default;

std::unique_ptr<Publisher::Effect> Publisher::make_effect() {
    if (spare_.empty()) return std::make_unique<Effect>();
    std::unique_ptr<Effect> effect = std::move(spare_.back());
    spare_.pop_back();
    return effect;
}

void Publisher::tell(std::unique_ptr<Effect> effect) {
    EffectClient** const client = clients.find(effect->client);
    if (client != nullptr) (*client)->on_outcome(effect->item, effect->outcome);
    if (spare_.size() == spare_effects_max || effect->outcome.rooms.size() > spare_rooms_max)
        return;
    if (effect->outcome.error) effect->outcome.error = {};
    effect->outcome.rooms.clear();
    effect->outcome.results.clear();
    effect->key.text.clear();
    effect->messages.clear();
    spare_.push_back(std::move(effect));
}

void Publisher::publish(const PublishBody& body, std::string_view caller, std::string_view key,
                        net::Handle client, std::uint64_t item, net::Handle lane) {
    std::unique_ptr<Effect> fresh = make_effect();
    Effect& effect = *fresh;
    effect.client = client;
    effect.item = item;
    effect.outcome.many = body.many;
    for (const std::string_view room : body.rooms) {
        // One effect: a name that no rule allows stops all of it before anything happens.
        const room::Rule* const rule = rooms_.rule(room);
        if (rule == nullptr || rule->reserved) {
            effect.outcome.error = {Code::not_found,
                                    "no rule allows a room named `" + std::string{room} + "`",
                                    body.many ? "rooms" : "room"};
            tell(std::move(fresh));
            return;
        }
        effect.outcome.rooms.add(room);
    }
    effect.missing = body.rooms.size();
    effect.outcome.results.resize(body.rooms.size());
    const bool keyed = !key.empty();
    if (keyed) {
        effect.key.text.append("key\n").append(caller).append("\npublish\n").append(key);
        effect.key.fingerprint = fingerprint(body);
        effect.key.parts = static_cast<std::uint32_t>(body.rooms.size());
    }
    const net::Handle handle = effects_.insert(std::move(fresh));
    const bool waits = keyed || lanes_.busy(lane);
    for (std::size_t i = 0; i < body.rooms.size(); ++i) {
        room::Message::Parts parts;
        parts.room = body.rooms[i];
        parts.data = body.data;
        parts.event = body.event;
        parts.id = key;
        parts.ephemeral = body.ephemeral;
        room::DraftRef message = room::Message::make(parts, hash_bytes(parts.room));
        // Answers come by mailbox, so the effect is there as long as this runs.
        if (waits)
            effect.messages.push_back(std::move(message));
        else
            rooms_.publish(std::move(message),
                           room::PublishReply{this, &rooms_.reactor(), handle, i, nullptr});
    }
    if (!waits) return;
    lanes_.run(lane, [this, handle, lane, keyed] {
        if (!keyed) {
            send(handle);
            return true;
        }
        idempotency_.begin((*effects_.find(handle))->key,
                           [this, handle, lane](room::IdempotencyLog::Verdict verdict,
                                                const room::PublishResults& results) {
                               on_verdict(handle, verdict, results);
                               if (lane != 0) lanes_.release(lane);
                           });
        return false;
    });
}

void Publisher::on_verdict(net::Handle handle, room::IdempotencyLog::Verdict verdict,
                           const room::PublishResults& results) {
    using Verdict = room::IdempotencyLog::Verdict;
    if (verdict == Verdict::first) {
        // Rooms that took it before a crash are done: their answers stand.
        Effect& begun = **effects_.find(handle);
        for (std::size_t i = 0; i < results.size() && i < begun.messages.size(); ++i) {
            if (!is_done(results[i])) continue;
            begun.outcome.results[i] = results[i];
            begun.messages[i].reset();
            --begun.missing;
        }
        send(handle);
        return;
    }
    std::unique_ptr<Effect> effect = effects_.erase(handle);
    effect->outcome.results.clear();
    if (verdict == Verdict::duplicate) {
        effect->outcome.results = results;
        for (room::PublishResult& result : effect->outcome.results) result.duplicate = true;
    } else if (verdict == Verdict::conflict) {
        effect->outcome.error = {Code::conflict, "the key was used for another publish", "id"};
    } else {
        effect->outcome.error = {Code::unavailable, "too many idempotency keys are in flight", {}};
    }
    tell(std::move(effect));
}

void Publisher::send(net::Handle handle) {
    Effect& effect = **effects_.find(handle);
    const room::IdempotencyKey* const key = effect.key.text.empty() ? nullptr : &effect.key;
    std::vector<room::DraftRef>& messages = effect.messages;
    for (std::size_t i = 0; i < messages.size(); ++i)
        if (messages[i])
            rooms_.publish(std::move(messages[i]),
                           room::PublishReply{this, &rooms_.reactor(), handle, i, key});
    messages.clear();
}

void Publisher::on_published(net::Handle who, std::uint64_t request,
                             const room::PublishResult& result) {
    Effect& effect = **effects_.find(who);
    effect.outcome.results[request] = result;
    if (--effect.missing == 0) finish(who);
}

void Publisher::finish(net::Handle handle) {
    std::unique_ptr<Effect> effect = effects_.erase(handle);
    if (!effect->key.text.empty()) {
        // If some rooms took it, the key stands for that: a repeat must not publish there again.
        if (failure_of(effect->outcome))
            idempotency_.abandon(effect->key);
        else
            idempotency_.finish(effect->key, effect->outcome.results);
    }
    tell(std::move(effect));
}

} // namespace fanfare::api
