#include "ws_protocol.hpp"

#include "json_scan.hpp"
#include "ws_handshake.hpp"

#include <fmt/format.h>

#include <utility>

namespace load {
namespace {

constexpr std::size_t message_bytes_max = std::size_t{64} * 1024 * 1024;

std::string close_payload(unsigned code) {
    return {static_cast<char>(code >> 8), static_cast<char>(code & 0xffU)};
}

/// `since`: empty, or the member with its comma.
std::string subscribe_request(int id, std::string_view room, std::string_view since) {
    return fmt::format(R"({{"id":{},"op":"subscribe","room":"{}"{}}})", id, room, since);
}

} // namespace

WsProtocol::WsProtocol(const ProtocolSettings& settings, const Room& room, const Rooms* all,
                       Inflater& shared, std::uint64_t seed)
    : settings_(settings), room_(room), all_rooms_(all), shared_inflater_(shared), random_(seed) {}

std::string WsProtocol::open(const Position* resume) {
    stage_ = Stage::handshake;
    deflate_ = context_takeover_ = in_message_ = message_compressed_ = close_sent_ = false;
    message_ = std::string{};
    bye_ = {};
    inflater_.reset();
    since_.clear();
    if (resume != nullptr) {
        since_ =
            fmt::format(R"(,"since":{{"epoch":"{}","offset":{}}})", resume->epoch, resume->offset);
    }
    key_ = make_key((std::uint64_t{next_mask()} << 32) | next_mask());
    return upgrade_request(settings_, room_.name, key_);
}

std::string WsProtocol::goodbye() {
    // Before the handshake is through there is no WebSocket to close.
    if (stage_ == Stage::handshake || stage_ == Stage::done || close_sent_) return {};
    close_sent_ = true;
    return encode_frame(Opcode::close, close_payload(1000), next_mask());
}

std::size_t WsProtocol::read(std::string_view in, ProtocolEvents& events) {
    std::size_t used = stage_ == Stage::handshake ? read_handshake(in, events) : 0;
    while (stage_ != Stage::handshake && stage_ != Stage::done) {
        const Frame frame = parse_frame(in.substr(used));
        if (frame.fault != nullptr) {
            fail(frame.fault, events);
            break;
        }
        if (frame.size == 0) return used;
        used += frame.size;
        on_frame(frame, events);
    }
    return stage_ == Stage::done ? in.size() : used;
}

std::size_t WsProtocol::read_handshake(std::string_view in, ProtocolEvents& events) {
    const HeadResult result = parse_response_head(in);
    if (result.status == HeadStatus::need_more) return 0;
    if (result.status == HeadStatus::bad) {
        refuse("bad_http", events);
        return 0;
    }
    events.on_status(result.head.status);
    if (result.head.status != 101) {
        refuse(fmt::format("http_{}", result.head.status), events);
        return 0;
    }
    const Agreement agreement = check_response(result.head, settings_, key_);
    if (agreement.fault != nullptr) {
        events.on_fault(agreement.fault);
        refuse(agreement.fault, events);
        return 0;
    }
    if (settings_.deflate)
        events.on_other(agreement.deflate ? "deflate_agreed" : "deflate_refused");
    deflate_ = agreement.deflate;
    context_takeover_ = agreement.context_takeover;
    if (deflate_ && context_takeover_) inflater_ = std::make_unique<Inflater>();
    key_ = std::string{};
    stage_ = settings_.nchan ? Stage::live : Stage::welcome;
    if (settings_.nchan) events.on_live({.epoch = nchan_epoch, .offset = 0});
    return result.head.size;
}

void WsProtocol::on_frame(const Frame& frame, ProtocolEvents& events) {
    switch (frame.opcode) {
    case Opcode::ping:
        events.on_other("ping");
        if (!close_sent_) events.send(encode_frame(Opcode::pong, frame.payload, next_mask()));
        return;
    case Opcode::pong:
        events.on_other("pong");
        return;
    case Opcode::close:
        return on_close(frame.payload, events);
    case Opcode::binary:
        return fail("ws_binary_frame", events);
    case Opcode::text:
    case Opcode::continuation:
        return on_data_frame(frame, events);
    }
}

void WsProtocol::on_data_frame(const Frame& frame, ProtocolEvents& events) {
    const bool first = frame.opcode == Opcode::text;
    if (first == in_message_) return fail("ws_fragments_out_of_order", events);
    if (frame.compressed && !deflate_) return fail("ws_compressed_unagreed", events);
    if (first) message_compressed_ = frame.compressed;
    if (first && frame.fin) {
        // The common case: a message in one frame is read where it lies.
        if (frame.compressed) return on_compressed(frame.payload, events);
        return on_text(frame.payload, events);
    }
    in_message_ = !frame.fin;
    message_ += frame.payload;
    if (message_.size() > message_bytes_max) return fail("ws_message_too_long", events);
    if (!frame.fin) return;
    const std::string message = std::exchange(message_, {});
    message_compressed_ ? on_compressed(message, events) : on_text(message, events);
}

void WsProtocol::on_compressed(std::string_view payload, ProtocolEvents& events) {
    Inflater& inflater = inflater_ ? *inflater_ : shared_inflater_;
    const auto text = inflater.inflate(payload, context_takeover_);
    if (!text) return fail("ws_corrupt_deflate", events);
    events.on_inflated(text->size());
    on_text(*text, events);
}

void WsProtocol::on_close(std::string_view payload, ProtocolEvents& events) {
    const bool has_code = payload.size() >= 2;
    const unsigned code = has_code ? static_cast<unsigned char>(payload[0]) * 256U +
                                         static_cast<unsigned char>(payload[1])
                                   : 1005;
    if (!close_sent_) {
        close_sent_ = true;
        events.send(encode_frame(Opcode::close, has_code ? close_payload(code) : "", next_mask()));
    }
    stage_ = Stage::done;
    events.on_ending(
        {.code = fmt::format("{}", code), .reconnect_in = bye_.reconnect_in, .await_fin = true});
}

void WsProtocol::on_text(std::string_view json, ProtocolEvents& events) {
    if (json.starts_with(room_.ws_message_prefix)) return on_message(json, events);
    const std::string_view op = find_text(json, "\"op\":");
    if (stage_ == Stage::welcome) {
        if (op != "welcome") return fail("ws_no_welcome", events);
        stage_ = Stage::subscribe;
        return events.send(
            encode_frame(Opcode::text, subscribe_request(1, room_.name, since_), next_mask()));
    }
    if (op == "message") return on_message(json, events);
    if (find_number(json, "\"id\":") == 1 && (op == "ok" || op == "error")) {
        return on_reply(json, events);
    }
    if (stage_ == Stage::further && find_number(json, "\"id\":") == 2) {
        return on_further_reply(json, events);
    }
    if (op == "reset") {
        return events.on_reset({.epoch = find_text(json, "\"epoch\":"),
                                .offset = find_number(json, "\"offset\":").value_or(0)});
    }
    if (op == "bye") {
        if (const auto wait = find_number(json, "\"reconnect_in\":")) {
            bye_.reconnect_in = std::chrono::milliseconds{*wait};
        }
        return events.on_other("bye_" + std::string{find_text(json, "\"code\":")});
    }
    if (op == "error") {
        return events.on_fault("error_" + std::string{find_text(json, "\"code\":")});
    }
    if (op == "unsubscribed") return events.on_fault("unsubscribed");
    events.on_other(op.empty() ? "no_op" : op);
}

void WsProtocol::on_message(std::string_view json, ProtocolEvents& events) {
    if (stage_ != Stage::live) return events.on_fault("message_before_ok");
    const std::string& prefix = room_.ws_message_prefix;
    std::optional<std::uint64_t> offset;
    if (json.starts_with(prefix)) {
        offset = leading_number(json.substr(prefix.size()));
    } else {
        if (find_text(json, "\"room\":") != room_.name) return events.on_fault("misrouted");
        offset = find_number(json, "\"offset\":");
    }
    if (!offset) return events.on_other("ephemeral");
    events.on_message({.offset = *offset, .sent_ns = find_number(json, "\"t\":")});
}

void WsProtocol::on_reply(std::string_view json, ProtocolEvents& events) {
    if (stage_ != Stage::subscribe) return events.on_fault("second_reply");
    if (find_text(json, "\"op\":") == "error") {
        return refuse("error_" + std::string{find_text(json, "\"code\":")}, events);
    }
    const auto offset = find_number(json, "\"offset\":");
    const std::string_view epoch = find_text(json, "\"epoch\":");
    if (!offset || epoch.empty()) return fail("ok_without_position", events);
    if (all_rooms_ != nullptr && all_rooms_->size() > 1) {
        start_ = {.epoch = std::string{epoch}, .offset = *offset, .cursor = {}};
        return subscribe_to_all(events);
    }
    stage_ = Stage::live;
    events.on_live(
        {.epoch = epoch, .offset = *offset, .recovered = find_true(json, "\"recovered\":")});
}

void WsProtocol::subscribe_to_all(ProtocolEvents& events) {
    stage_ = Stage::further;
    further_left_ = all_rooms_->size() - 1;
    std::string requests;
    for (const Room& room : *all_rooms_) {
        if (room.name == room_.name) continue;
        requests += encode_frame(Opcode::text, subscribe_request(2, room.name, ""), next_mask());
    }
    events.send(requests);
}

void WsProtocol::on_further_reply(std::string_view json, ProtocolEvents& events) {
    if (find_text(json, "\"op\":") == "error") {
        return refuse("error_" + std::string{find_text(json, "\"code\":")}, events);
    }
    if (--further_left_ > 0) return;
    stage_ = Stage::live;
    events.on_live({.epoch = start_.epoch, .offset = start_.offset});
    start_ = {};
}

void WsProtocol::refuse(std::string reason, ProtocolEvents& events) {
    stage_ = Stage::done;
    events.on_refused(std::move(reason));
}

void WsProtocol::fail(const char* fault, ProtocolEvents& events) {
    events.on_fault(fault);
    if (!close_sent_) {
        close_sent_ = true;
        events.send(encode_frame(Opcode::close, close_payload(1002), next_mask()));
    }
    stage_ = Stage::done;
    events.on_ending({.code = fault});
}

std::uint32_t WsProtocol::next_mask() {
    // A linear congruence: a mask must vary, but nothing here depends on it being unguessable.
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(random_ >> 32);
}

} // namespace load
