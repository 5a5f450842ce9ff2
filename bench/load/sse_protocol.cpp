#include "sse_protocol.hpp"

#include "json_scan.hpp"
#include "network.hpp"

#include <fmt/format.h>

namespace load {
namespace {

constexpr std::size_t event_bytes_max = std::size_t{64} * 1024 * 1024;

} // namespace

SseProtocol::SseProtocol(const ProtocolSettings& settings, const Room& room)
    : settings_(settings), room_(room) {}

std::string SseProtocol::open(const Position* resume) {
    stage_ = Stage::head;
    text_ = std::string{};
    bye_ = {};
    cursor_ = resume != nullptr ? resume->cursor : std::string{};
    std::string request = "GET /sse?room=" + percent_encode(room_.name);
    if (!settings_.token.empty()) request += "&token=" + settings_.token;
    request += " HTTP/1.1\r\nHost: " + settings_.host;
    request += "\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n";
    if (!cursor_.empty()) request += "Last-Event-ID: " + cursor_ + "\r\n";
    return request + "\r\n";
}

std::size_t SseProtocol::read(std::string_view in, ProtocolEvents& events) {
    std::size_t used = stage_ == Stage::head ? read_head(in, events) : 0;
    while (stage_ == Stage::ready || stage_ == Stage::live) {
        const BodyReader::Piece piece = body_.next(in.substr(used));
        used += piece.used;
        if (piece.bad) {
            events.on_fault("sse_bad_chunk");
            end("sse_bad_chunk", events);
            break;
        }
        if (!piece.data.empty()) on_text(piece.data, events);
        if (stage_ == Stage::done) break;
        if (body_.is_complete()) {
            end("sse_end", events);
        } else if (piece.used == 0) {
            return used;
        }
    }
    return stage_ == Stage::done ? in.size() : used;
}

std::size_t SseProtocol::read_head(std::string_view in, ProtocolEvents& events) {
    const HeadResult result = parse_response_head(in);
    if (result.status == HeadStatus::need_more) return 0;
    const ResponseHead& head = result.head;
    if (result.status == HeadStatus::bad) {
        stage_ = Stage::done;
        events.on_refused("bad_http");
        return 0;
    }
    events.on_status(head.status);
    const std::string_view type = head.field("Content-Type");
    if (head.status != 200 || !type.starts_with("text/event-stream")) {
        stage_ = Stage::done;
        events.on_refused(head.status == 200 ? "sse_wrong_content_type"
                                             : fmt::format("http_{}", head.status));
        return 0;
    }
    body_ = BodyReader{head};
    stage_ = Stage::ready;
    return head.size;
}

void SseProtocol::on_text(std::string_view text, ProtocolEvents& events) {
    if (text_.empty()) {
        // The common case: whole events, read where they lie.
        const std::size_t used = read_blocks(text, events);
        if (used < text.size()) text_ = text.substr(used);
        return;
    }
    text_ += text;
    const std::size_t used = read_blocks(text_, events);
    text_.erase(0, used);
    if (text_.size() > event_bytes_max) {
        events.on_fault("sse_event_too_long");
        end("sse_event_too_long", events);
    }
}

std::size_t SseProtocol::read_blocks(std::string_view text, ProtocolEvents& events) {
    std::size_t begin = 0; // of the present event
    std::size_t position = 0;
    Block block;
    while (stage_ != Stage::done) {
        const std::size_t line_end = text.find('\n', position);
        if (line_end == text.npos) break;
        std::string_view line = text.substr(position, line_end - position);
        if (line.ends_with('\r')) line.remove_suffix(1);
        const bool comment_between_events = begin == position && line.starts_with(':');
        position = line_end + 1;
        if (line.empty()) {
            dispatch(block, events);
            block = {};
        } else {
            read_line(line, block, events);
        }
        // A heartbeat comment need not be followed by an empty line; it is not waited for.
        if (line.empty() || comment_between_events) begin = position;
    }
    return begin;
}

void SseProtocol::read_line(std::string_view line, Block& block, ProtocolEvents& events) {
    if (line.starts_with(':')) return events.on_other("heartbeat");
    const std::size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    std::string_view value = colon == line.npos ? std::string_view{} : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (name == "data") {
        if (++block.data_lines == 1) {
            block.data = value;
        } else {
            if (block.data_lines == 2) block.joined_data = block.data;
            block.joined_data += '\n';
            block.joined_data += value;
        }
    } else if (name == "id") {
        block.id = value;
        block.has_id = true;
    } else if (name == "event") {
        block.event = value;
    } else if (name == "retry") {
        // Takes effect with its line, also in a block that never ends (sse.md §2.2).
        if (const auto wait = leading_number(value)) {
            bye_.reconnect_in = std::chrono::milliseconds{*wait};
        }
    }
}

void SseProtocol::dispatch(const Block& block, ProtocolEvents& events) {
    if (block.has_id) cursor_ = block.id;
    if (block.data_lines == 0) return;
    const std::string_view event = block.event;
    if (event == "ready") return on_ready(block, events);
    if (event == "bye") {
        if (const auto wait = find_number(block.data, "\"reconnect_in\":")) {
            bye_.reconnect_in = std::chrono::milliseconds{*wait};
        }
        bye_.code = "sse_bye_" + std::string{find_text(block.data, "\"code\":")};
        return;
    }
    if (event == "reset") {
        return events.on_reset({.epoch = find_text(block.data, "\"epoch\":"),
                                .offset = find_number(block.data, "\"offset\":").value_or(0)});
    }
    if (event == "error" || event == "unsubscribed") {
        return events.on_fault("sse_" + std::string{event});
    }
    if (event == "join" || event == "leave" || event == "subscribed" || event == "acked") {
        return events.on_other(event);
    }
    on_message(block, events); // any other name is the message's own event
}

void SseProtocol::on_ready(const Block& block, ProtocolEvents& events) {
    if (stage_ != Stage::ready) return events.on_fault("sse_second_ready");
    if (!block.has_id) events.on_fault("sse_no_id");
    // The session's id comes before `rooms`, and there is one room only.
    const auto offset = find_number(block.data, "\"offset\":");
    const std::string_view epoch = find_text(block.data, "\"epoch\":");
    if (!offset || epoch.empty()) {
        events.on_fault("sse_ready_without_position");
        return end("sse_ready_without_position", events);
    }
    stage_ = Stage::live;
    events.on_live(
        {.epoch = epoch, .offset = *offset, .recovered = find_true(block.data, "\"recovered\":")});
}

void SseProtocol::on_message(const Block& block, ProtocolEvents& events) {
    if (stage_ != Stage::live) return events.on_fault("message_before_ready");
    const std::string_view json = block.data_lines > 1 ? block.joined_data : block.data;
    std::optional<std::uint64_t> offset;
    if (json.starts_with(room_.sse_message_prefix)) {
        offset = leading_number(json.substr(room_.sse_message_prefix.size()));
    } else {
        if (find_text(json, "\"room\":") != room_.name) return events.on_fault("misrouted");
        offset = find_number(json, "\"offset\":");
    }
    if (!offset) return events.on_other("ephemeral");
    if (!block.has_id) events.on_fault("sse_no_id");
    events.on_message({.offset = *offset, .sent_ns = find_number(json, "\"t\":")});
}

void SseProtocol::end(std::string code, ProtocolEvents& events) {
    const bool was_live = stage_ == Stage::live;
    stage_ = Stage::done;
    // A 200 that ends before `ready` is how an overloaded server sends SSE clients away.
    if (!bye_.code.empty())
        code = bye_.code;
    else if (!was_live && code == "sse_end")
        code = "sse_overload";
    events.on_ending({.code = std::move(code), .reconnect_in = bye_.reconnect_in});
}

} // namespace load
