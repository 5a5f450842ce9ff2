#include "sse_stream.hpp"

#include "json_replies.hpp"
#include "sse_text.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/base/log.hpp>
#include <fanfare/room/delivery.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>

namespace fanfare::protocols {
namespace {

using session::CloseReason;

room::Form form_for(std::size_t rooms) {
    return rooms == 1 ? room::Form::sse : room::Form::sse_part;
}

RoomsTag tag_of(const std::vector<std::string>& rooms) {
    // One room: the tag that the shared id line of its messages carries.
    return rooms.size() == 1 ? rooms_tag(std::string_view{rooms.front()}) : rooms_tag(rooms);
}

std::string_view bye_code(CloseReason reason) {
    switch (reason) {
    case CloseReason::drain:
        return "drain";
    case CloseReason::unauthorized:
        return "expired";
    case CloseReason::slow_consumer:
        return "slow_consumer";
    default:
        return "disconnected";
    }
}

/// The payload of a piece that is one chunk.
std::string_view unframed(std::string_view chunk) {
    const std::size_t begin = chunk.find("\r\n") + 2;
    return chunk.substr(begin, chunk.size() - begin - chunk_tail.size());
}

} // namespace

struct SseStream::CloseTimer final : net::TimerWheel::Timer {
    explicit CloseTimer(SseStream& owner) : stream(owner) {}
    void on_timer() override { stream.die(); }
    SseStream& stream;
};

SseStream::SseStream(SseService::Shared& shared, http::Detached detached, Request request)
    : shared_(shared), transport_(std::move(detached.transport)),
      first_room_hash_(hash_bytes(request.rooms.front())), tag_(tag_of(request.rooms)),
      chunked_(detached.chunked),
      session_(shared.sessions, *this, form_for(request.rooms.size()), false) {
    const std::size_t rooms = request.rooms.size();
    rooms_ = std::make_unique<UrlRooms>(
        UrlRooms{std::move(request.rooms), std::vector<Position>(rooms)});
    joining_ = std::make_unique<Joining>(
        Joining{std::move(request), std::vector<Answer>(rooms), {}, 0, rooms});
    transport_->set_handler(*this);
    out_.attach(transport_.get());
    shared_.connections.add(1);
}

SseStream::~SseStream() {
    session_.end();
    out_.attach(nullptr);
    shared_.connections.add(-1);
}

void SseStream::start(std::string_view response_head, session::IdentityRef identity) {
    out_.push(LocalBytes::copy_of(response_head));
    // Clients that lose their stream together must not come back together.
    std::string first = "retry: ";
    append_number(first, 3'000 + random_u64() % 2'000);
    first += "\n\n";
    std::string piece;
    append_chunk(piece, first);
    out_.push(LocalBytes::copy_of(chunked_ ? piece : first));

    session_.open(std::move(identity));
    for (std::size_t i = 0; joining_ && i < rooms_->names.size(); ++i) {
        const Request& request = joining_->request;
        session::SubscribeRequest wish;
        wish.room = rooms_->names[i];
        if (request.since)
            wish.since = (*request.since)[i];
        else
            wish.last = request.last;
        wish.device = request.device;
        session_.subscribe(static_cast<std::int64_t>(i), wish);
    }
}

// --- transport ---

void SseStream::on_readable() {
    if (state_ == State::dead) return;
    const Result<std::size_t> got = transport_->read(shared_.sessions.reactor().read_buffer());
    if (!got && got.error() == boost::asio::error::would_block) return;
    // An EventSource sends nothing after its request; what comes all the same is dropped.
    if (!got || *got == 0) die();
}

void SseStream::on_drained() {
    if (state_ == State::finished) {
        if (!fin_sent_) {
            fin_sent_ = true;
            transport_->shutdown_send();
        }
        return;
    }
    if (state_ == State::open) session_.drained();
}

void SseStream::on_write_failed(error_code /*why*/) {
    die();
}

void SseStream::finish() {
    if (chunked_) out_.push(LocalBytes::copy_of("0\r\n\r\n"));
    state_ = State::finished;
    close_timer_ = std::make_unique<CloseTimer>(*this);
    shared_.sessions.reactor().timers().set(*close_timer_,
                                            shared_.sessions.options().close_timeout);
}

void SseStream::die() {
    if (state_ == State::dead) return;
    state_ = State::dead;
    session_.end();
    if (close_timer_) close_timer_->cancel();
    joining_.reset();
    out_.clear();
    out_.attach(nullptr);
    transport_->close();
    shared_.sessions.reactor().retire(handle());
}

// --- session::Outbound ---

void SseStream::send(LocalBytesRef chunk) {
    if (joining_) {
        joining_->held_bytes += chunk->size();
        joining_->held.push_back({std::move(chunk), std::nullopt, {}});
        return;
    }
    if (!chunked_) {
        const bool open_ended = chunk->open_ended();
        chunk = LocalBytes::copy_of(unframed(chunk->view()));
        if (open_ended) chunk->set_open_ended();
    }
    out_.push(std::move(chunk));
}

void SseStream::send_text(std::string_view event) {
    push_chunk(event);
}

void SseStream::push_chunk(std::string_view body) {
    std::string& piece = shared_.scratch;
    piece.clear();
    append_chunk(piece, body);
    send(LocalBytes::copy_of(piece));
}

void SseStream::push_event(std::string_view id, std::string_view name, std::string_view json) {
    std::string event;
    append_sse_event(event, id, name, json);
    push_chunk(event);
}

void SseStream::ping() {
    if (state_ != State::open) return;
    transport_->set_established(); // it has been here for a heartbeat
    send(shared_.heartbeat);
}

void SseStream::close(CloseReason reason, std::string_view detail) {
    if (state_ == State::finished || state_ == State::dead) return;
    session_.end();
    // Without `ready` the stream has said nothing yet: what was held is void.
    stop_joining(); // what follows goes straight out
    if (reason == CloseReason::slow_consumer) out_.drop_unsent();
    if (!said_bye_) push_bye(bye_code(reason), detail, 1'000 + random_u64() % 4'000);
    if (log::enabled(log::Level::debug))
        log::debug("sse_closed", {{"session", session_.id()}, {"code", bye_code(reason)}});
    finish();
}

void SseStream::push_bye(std::string_view code, std::string_view message,
                         std::uint64_t reconnect_in) {
    said_bye_ = true;
    std::string json;
    write_bye(json, Shape::bare, code, message, reconnect_in);
    std::string event = "retry: ";
    append_number(event, reconnect_in);
    event += '\n';
    append_sse_event(event, {}, "bye", json);
    push_chunk(event);
}

// --- session::ClientProtocol ---

void SseStream::welcome(session::Session& /*session*/) {
    // `ready` says what a welcome says, when all rooms have been joined.
}

void SseStream::auth_ok(session::Session& /*session*/, session::RequestId /*id*/) {}

void SseStream::stop_joining() {
    joining_.reset();
    state_ = State::open;
}

std::optional<std::size_t> SseStream::index_of(std::string_view room,
                                               std::uint64_t hash) const noexcept {
    if (!rooms_) {
        // Of the few rooms of one stream no two have the same 64 bits.
        if (hash == first_room_hash_) return 0;
        return std::nullopt;
    }
    const std::vector<std::string>& names = rooms_->names;
    const auto at = std::find(names.begin(), names.end(), room);
    if (at == names.end()) return std::nullopt;
    return static_cast<std::size_t>(at - names.begin());
}

std::string SseStream::cursor(std::span<const Position> positions) const {
    std::string text;
    append_cursor(text, tag_, positions);
    return text;
}

void SseStream::error(session::Session& /*session*/, session::RequestId id, const Error& error) {
    // A room could not be joined after the stream had begun: no status can say it any more.
    if (!joining_ || !id) return;
    session_.end();
    stop_joining();
    std::string json;
    JsonWriter{json}
        .begin_object()
        .field("code", code_name(error.code))
        .field("message", error.message)
        .field("room", rooms_->names[static_cast<std::size_t>(*id)])
        .end_object();
    push_event({}, "error", json);
    push_bye("disconnected", error.message, 2'000 + random_u64() % 28'000);
    finish();
}

void SseStream::subscribe_ok(session::Session& /*session*/, session::RequestId id,
                             const session::SubscribeOk& ok) {
    const auto index = static_cast<std::size_t>(*id);
    joining_->answers[index] = {ok.position, ok.recovered, ok.acked};
    // The cursor stands where the replay begins, not where the room is.
    rooms_->positions[index] = {ok.position.epoch, ok.replay_after};
    if (--joining_->missing == 0) all_joined();
}

void SseStream::all_joined() {
    std::string json;
    JsonWriter writer{json};
    writer.begin_object().field("session", session_.id()).key("rooms").begin_object();
    for (std::size_t i = 0; i < rooms_->names.size(); ++i) {
        const Answer& answer = joining_->answers[i];
        std::string name;
        append_json_string(name, rooms_->names[i]);
        if (i != 0) json += ',';
        json.append(name).append(":{\"epoch\":");
        append_json_string(json, answer.position.epoch.text());
        json += ",\"offset\":";
        append_number(json, answer.position.offset);
        if (answer.recovered)
            json += *answer.recovered ? ",\"recovered\":true" : ",\"recovered\":false";
        if (answer.acked) append_number(json.append(",\"acked\":"), *answer.acked);
        json += '}';
    }
    writer.end_object().end_object();

    const std::vector<Held> held = std::move(joining_->held);
    stop_joining();
    push_event(cursor(rooms_->positions), "ready", json);
    if (rooms_->names.size() == 1) rooms_.reset();
    for (const Held& piece : held) {
        if (piece.room) push_id(*piece.room, piece.position);
        send(piece.chunk);
    }
    // A stream of one room needs nothing of its own per message from here on.
    if (chunked_ && !rooms_ && !has_added_rooms_) session_.set_direct(true);
}

void SseStream::push_id(std::size_t room, const Position& position) {
    rooms_->positions[room] = position;
    const std::string id_line = "id: " + cursor(rooms_->positions) + "\n";
    std::string& piece = shared_.scratch;
    piece.clear();
    append_chunk(piece, id_line);
    LocalBytesRef bytes = LocalBytes::copy_of(piece);
    bytes->set_open_ended();
    send(std::move(bytes));
}

void SseStream::message(session::Session& session, room::Subscription* /*subscription*/,
                        room::Delivery& delivery) {
    push_message(session, delivery, true);
}

void SseStream::inbox_message(session::Session& session, room::Delivery& delivery, bool repeat) {
    // A repeat must not set the client back: it resumes from the newest that it was sent.
    push_message(session, delivery, !repeat);
}

void SseStream::acked(session::Session& /*session*/, std::uint64_t offset) {
    std::string json;
    write_acked(json, Shape::bare, session::inbox_room, offset);
    push_event({}, "acked", json);
}

void SseStream::push_message(session::Session& session, room::Delivery& delivery, bool moves) {
    const room::Message& message = delivery.message();
    // A room that the API added is not in the cursor: its messages leave the client's id alone.
    const auto index = moves ? index_of(message.room(), message.room_hash()) : std::nullopt;
    const bool whole = index && (!rooms_ || rooms_->names.size() == 1);
    const LocalBytesRef& shared = delivery.bytes(whole ? room::Form::sse : room::Form::sse_part);
    // An id line of up to 32 rooms is short against the queue: it is not counted exactly.
    if (!session.make_room(shared->size())) return;
    const bool own_id = !whole && index && !message.ephemeral();
    if (joining_) {
        joining_->held_bytes += shared->size();
        joining_->held.push_back({shared, own_id ? index : std::nullopt, message.position()});
        return;
    }
    if (own_id) push_id(*index, message.position());
    send(shared);
}

void SseStream::subscribed(session::Session& session, std::string_view room,
                           const Position& position) {
    has_added_rooms_ = true;
    session.set_direct(false);
    std::string json;
    write_subscribed(json, Shape::bare, room, position);
    push_event({}, "subscribed", json);
}

void SseStream::unsubscribed(session::Session& /*session*/, std::string_view room,
                             const Error& why) {
    std::string json;
    write_unsubscribed(json, Shape::bare, room, why);
    push_event({}, "unsubscribed", json);
}

void SseStream::reset(session::Session& /*session*/, std::string_view room,
                      const Position& position) {
    std::string id; // of a room that is not in the cursor: none
    const auto index = index_of(room, hash_bytes(room));
    if (rooms_) {
        if (index) rooms_->positions[*index] = position;
        id = cursor(rooms_->positions);
    } else if (index) {
        id = cursor({&position, 1});
    }
    std::string json;
    write_reset(json, Shape::bare, room, position);
    push_event(id, "reset", json);
}

void SseStream::bye(session::Session& /*session*/, std::string_view code, std::string_view message,
                    std::uint64_t reconnect_in) {
    if (joining_) stop_joining();
    push_bye(code, message, reconnect_in);
}

} // namespace fanfare::protocols
