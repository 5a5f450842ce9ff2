#include "encoders.hpp"

#include "cursor.hpp"
#include "sse_text.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/protocols/protocols.hpp>
#include <fanfare/ws/frame.hpp>

#include <cstring>

namespace fanfare::protocols {
namespace {

// Larger scratch is freed after use, as one huge message must not cost its size for ever.
constexpr std::size_t kept_bytes_max = std::size_t{256} * 1024;

void clear(std::string& scratch) {
    if (scratch.capacity() > kept_bytes_max) scratch = std::string{};
    scratch.clear();
}

char* put(char* to, std::string_view bytes) noexcept {
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    return to + bytes.size();
}

SharedBytesRef frame(bool compressed, std::string_view head, std::string_view data,
                     std::string_view tail) {
    const std::size_t length = head.size() + data.size() + tail.size();
    auto bytes = SharedBytes::allocate(ws::header_size(length) + length);
    char* at = bytes->data();
    at += ws::write_header(at, ws::Opcode::text, compressed, length);
    put(put(put(at, head), data), tail);
    return bytes;
}

SharedBytesRef chunk(std::string_view head, std::string_view data, std::string_view tail) {
    const std::size_t length = head.size() + data.size() + tail.size();
    auto bytes = SharedBytes::allocate(chunk_head_size(length) + length + chunk_tail.size());
    char* const at = write_chunk_head(bytes->data(), length);
    put(put(put(put(at, head), data), tail), chunk_tail);
    return bytes;
}

} // namespace

SharedBytesRef WsJsonEncoder::encode(const room::Message& message) {
    head_ = R"({"op":"message",)";
    append_message_head(head_, message);
    tail_.clear();
    append_message_tail(tail_, message);
    tail_ += '}';
    return frame(false, head_, message.data(), tail_);
}

SharedBytesRef WsJsonEncoder::encode(const room::PresenceChange& change) {
    head_.clear();
    write_presence_change(head_, Shape::with_op, change);
    return frame(false, head_, {}, {});
}

SharedBytesRef WsJsonDeflateEncoder::encode(const room::Message& message) {
    clear(text_);
    write_message(text_, Shape::with_op, message);
    return compress();
}

SharedBytesRef WsJsonDeflateEncoder::encode(const room::PresenceChange& change) {
    clear(text_);
    write_presence_change(text_, Shape::with_op, change);
    return compress();
}

SharedBytesRef WsJsonDeflateEncoder::compress() {
    if (text_.size() < deflate_min_) return nullptr;
    const std::optional<ByteView> packed = deflater_.compress(as_byte_view(text_));
    if (!packed) return nullptr;
    return frame(true, as_text(*packed), {}, {});
}

SharedBytesRef SseEncoder::encode(const room::Message& message) {
    head_.clear();
    if (id_line_ == IdLine::cursor && !message.ephemeral()) {
        head_ += "id: ";
        append_cursor(head_, rooms_tag(message.room()), {&message.position(), 1});
        head_ += '\n';
    }
    append_sse_head(head_, {}, message.event());
    head_ += '{';
    append_message_head(head_, message);
    tail_.clear();
    append_message_tail(tail_, message);
    tail_ += "}\n\n";
    if (!has_line_end(message.data())) return chunk(head_, message.data(), tail_);
    clear(lines_);
    append_sse_data(lines_, message.data());
    return chunk(head_, lines_, tail_);
}

SharedBytesRef SseEncoder::encode(const room::PresenceChange& change) {
    tail_.clear();
    write_presence_change(tail_, Shape::bare, change);
    head_.clear();
    append_sse_event(head_, {}, presence_event(change), tail_);
    return chunk(head_, {}, {});
}

room::Encoders make_encoders(std::size_t deflate_min) {
    room::Encoders encoders;
    const auto at = [&encoders](room::Form form) -> std::unique_ptr<room::Encoder>& {
        return encoders[static_cast<std::size_t>(form)];
    };
    at(room::Form::ws_json) = std::make_unique<WsJsonEncoder>();
    at(room::Form::ws_json_deflate) = std::make_unique<WsJsonDeflateEncoder>(deflate_min);
    at(room::Form::sse) = std::make_unique<SseEncoder>(SseEncoder::IdLine::cursor);
    at(room::Form::sse_part) = std::make_unique<SseEncoder>(SseEncoder::IdLine::none);
    return encoders;
}

} // namespace fanfare::protocols
