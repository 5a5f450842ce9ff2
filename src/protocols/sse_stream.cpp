#include "sse_stream.hpp"

#include "json_replies.hpp"
#include "sse_text.hpp"

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

SseStream::SseStream(SseService::Shared& shared, http::Detached detached, Request request)
    : shared_(shared), transport_(std::move(detached.transport)), request_(std::move(request)),
      rooms_(request_.rooms.size()), missing_(request_.rooms.size()),
      out_(shared.sessions.reactor(), *this), tag_(tag_of(request_.rooms)),
      chunked_(detached.chunked),
      session_(shared.sessions, *this, out_, *this, form_for(request_.rooms.size()), false) {
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
    for (std::size_t i = 0; i < request_.rooms.size() && state_ == State::joining; ++i) {
        session::SubscribeRequest wish;
        wish.room = request_.rooms[i];
        if (request_.since)
            wish.since = (*request_.since)[i];
        else
            wish.last = request_.last;
        wish.device = request_.device;
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

void SseStream::on_timer() {
    die();
}

void SseStream::finish() {
    if (chunked_) out_.push(LocalBytes::copy_of("0\r\n\r\n"));
    state_ = State::finished;
    shared_.sessions.reactor().timers().set(*this, shared_.sessions.options().close_timeout);
}

void SseStream::die() {
    if (state_ == State::dead) return;
    state_ = State::dead;
    session_.end();
    cancel();
    held_.clear();
    out_.clear();
    out_.attach(nullptr);
    transport_->close();
    shared_.sessions.reactor().retire(handle());
}

// --- session::Outbound ---

void SseStream::send(LocalBytesRef chunk) {
    if (state_ == State::joining) {
        held_bytes_ += chunk->size();
        held_.push_back({std::move(chunk), std::nullopt, {}});
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
    if (state_ == State::open) send(shared_.heartbeat);
}

void SseStream::close(CloseReason reason, std::string_view detail) {
    if (state_ == State::finished || state_ == State::dead) return;
    session_.end();
    // Without `ready` the stream has said nothing yet: what was held is void.
    held_.clear();
    held_bytes_ = 0;
    state_ = State::open; // what follows goes straight out
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

std::optional<std::size_t> SseStream::index_of(std::string_view room) const noexcept {
    const auto at = std::find(request_.rooms.begin(), request_.rooms.end(), room);
    if (at == request_.rooms.end()) return std::nullopt;
    return static_cast<std::size_t>(at - request_.rooms.begin());
}

std::string SseStream::cursor() const {
    std::vector<Position> positions;
    positions.reserve(rooms_.size());
    for (const RoomState& room : rooms_) positions.push_back(room.position);
    std::string text;
    append_cursor(text, tag_, positions);
    return text;
}

void SseStream::error(session::Session& /*session*/, session::RequestId id, const Error& error) {
    // A room could not be joined after the stream had begun: no status can say it any more.
    if (state_ != State::joining || !id) return;
    session_.end();
    held_.clear();
    held_bytes_ = 0;
    state_ = State::open;
    std::string json;
    JsonWriter{json}
        .begin_object()
        .field("code", code_name(error.code))
        .field("message", error.message)
        .field("room", request_.rooms[static_cast<std::size_t>(*id)])
        .end_object();
    push_event({}, "error", json);
    push_bye("disconnected", error.message, 2'000 + random_u64() % 28'000);
    finish();
}

void SseStream::subscribe_ok(session::Session& session, session::RequestId id,
                             const session::SubscribeOk& ok) {
    RoomState& room = rooms_[static_cast<std::size_t>(*id)];
    room.joined = ok.position;
    room.recovered = ok.recovered;
    room.known = true;
    // The cursor stands where the replay begins, not where the room is.
    const room::Subscription* const subscription = session.find(ok.room);
    room.position = {ok.position.epoch,
                     subscription != nullptr ? subscription->offset : ok.position.offset};
    if (--missing_ == 0) all_joined();
}

void SseStream::all_joined() {
    std::string json;
    JsonWriter writer{json};
    writer.begin_object().field("session", session_.id()).key("rooms").begin_object();
    for (std::size_t i = 0; i < rooms_.size(); ++i) {
        std::string name;
        append_json_string(name, request_.rooms[i]);
        if (i != 0) json += ',';
        json.append(name).append(":{\"epoch\":");
        append_json_string(json, rooms_[i].joined.epoch.text());
        json += ",\"offset\":";
        append_number(json, rooms_[i].joined.offset);
        if (rooms_[i].recovered)
            json += *rooms_[i].recovered ? ",\"recovered\":true" : ",\"recovered\":false";
        json += '}';
    }
    writer.end_object().end_object();

    const std::vector<Held> held = std::move(held_);
    held_.clear();
    held_bytes_ = 0;
    state_ = State::open;
    push_event(cursor(), "ready", json);
    for (const Held& piece : held) {
        if (piece.room) push_id(*piece.room, piece.position);
        send(piece.chunk);
    }
    // A stream of one room needs nothing of its own per message from here on.
    if (chunked_ && rooms_.size() == 1 && !has_added_rooms_) session_.set_direct(true);
}

void SseStream::push_id(std::size_t room, const Position& position) {
    rooms_[room].position = position;
    const std::string id_line = "id: " + cursor() + "\n";
    std::string& piece = shared_.scratch;
    piece.clear();
    append_chunk(piece, id_line);
    LocalBytesRef bytes = LocalBytes::copy_of(piece);
    bytes->set_open_ended();
    send(std::move(bytes));
}

void SseStream::message(session::Session& session, room::Subscription* /*subscription*/,
                        room::Delivery& delivery) {
    const room::Message& message = delivery.message();
    const auto index = index_of(message.room());
    // A room that the API added is not in the cursor: its messages leave the client's id alone.
    const bool whole = rooms_.size() == 1 && index;
    const LocalBytesRef& shared = delivery.bytes(whole ? room::Form::sse : room::Form::sse_part);
    // An id line of up to 32 rooms is short against the queue: it is not counted exactly.
    if (!session.make_room(shared->size())) return;
    const bool own_id = !whole && index && !message.ephemeral();
    if (state_ == State::joining) {
        held_bytes_ += shared->size();
        held_.push_back({shared, own_id ? index : std::nullopt, message.position()});
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
    if (const auto index = index_of(room)) rooms_[*index].position = position;
    std::string json;
    write_reset(json, Shape::bare, room, position);
    push_event(cursor(), "reset", json);
}

void SseStream::bye(session::Session& /*session*/, std::string_view code, std::string_view message,
                    std::uint64_t reconnect_in) {
    if (state_ == State::joining) state_ = State::open;
    push_bye(code, message, reconnect_in);
}

} // namespace fanfare::protocols
