#include "message_reader.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace fanfare::ws {

namespace {

MessageReader::Event data_event(Opcode opcode, ByteView payload) {
    MessageReader::Event event;
    event.kind = opcode == Opcode::text ? MessageReader::Kind::text : MessageReader::Kind::binary;
    event.payload = payload;
    return event;
}

errc fault_of(const error_code& code) {
    return static_cast<errc>(code.value());
}

// Wire bytes that a message may take. Data that does not compress comes out of deflate a little
// longer (5 bytes per stored block, which zlib at memLevel 1 makes of 507 bytes): a message within
// the limit must not be refused for that. The inflated size is held to the exact limit later.
std::uint64_t wire_bytes_max(bool compressed, std::size_t message_bytes_max) {
    const std::uint64_t limit = message_bytes_max;
    return compressed ? limit + limit / 64 + 64 : limit;
}

} // namespace

// What outlives a read. Two payload stores, since a control frame may come, and be cut, while a
// fragmented message waits (RFC 6455 §5.4).
struct MessageReader::Partial {
    // a header that is not complete
    std::array<std::byte, client_header_bytes_max> head{};
    std::size_t head_bytes = 0;

    // a frame whose payload is not complete
    bool in_payload = false;
    FrameHeader frame;
    std::uint64_t received = 0; // bytes of that payload so far
    std::array<std::byte, control_payload_bytes_max> control{};

    // a data message that is not complete
    bool message_open = false;
    bool compressed = false;
    Opcode opcode{};
    Utf8Validator utf8; // of an uncompressed text
    std::uint32_t fragments = 0;
    std::vector<std::byte> message; // grows with what comes, not with what is announced

    [[nodiscard]] bool idle() const { return head_bytes == 0 && !in_payload && !message_open; }
};

MessageReader::MessageReader(bool deflate_agreed) noexcept : deflate_agreed_(deflate_agreed) {}
MessageReader::~MessageReader() = default;
MessageReader::MessageReader(MessageReader&&) noexcept = default;
MessageReader& MessageReader::operator=(MessageReader&&) noexcept = default;

MessageReader::Event MessageReader::next(std::span<std::byte>& input, const ReaderLimits& limits,
                                         Inflater& inflater) {
    // What the last event showed is of no use any more.
    if (partial_ && (finished_ || partial_->idle())) partial_.reset();
    while (!finished_) {
        if (!partial_ || !partial_->in_payload) {
            const Result<FrameHeader> header = take_header(input);
            if (!header) {
                if (header.error() == errc::need_more) return {};
                return fail(fault_of(header.error()));
            }
            if (const auto fault = admit(*header, limits)) return fail(*fault);
            const bool whole_message = header->fin && header->opcode != Opcode::continuation;
            if (whole_message && header->length <= input.size()) {
                const auto payload = input.first(static_cast<std::size_t>(header->length));
                input = input.subspan(payload.size());
                return whole_frame(*header, payload, limits, inflater);
            }
            partial().frame = *header;
            partial_->in_payload = true;
            partial_->received = 0;
        }
        if (const auto fault = collect(input)) return fail(*fault);
        if (partial_->received < partial_->frame.length) return {};
        if (const auto event = end_of_frame(limits, inflater)) return *event;
    }
    input = {};
    return {};
}

MessageReader::Partial& MessageReader::partial() {
    if (!partial_) partial_ = std::make_unique<Partial>();
    return *partial_;
}

Result<FrameHeader> MessageReader::take_header(std::span<std::byte>& input) {
    if (!partial_ || partial_->head_bytes == 0) {
        const Result<FrameHeader> header = parse_header(input, deflate_agreed_);
        if (header) {
            input = input.subspan(header->header_bytes);
        } else if (header.error() == errc::need_more && !input.empty()) {
            std::copy(input.begin(), input.end(), partial().head.begin());
            partial_->head_bytes = input.size();
            input = {};
        }
        return header;
    }
    // The read before this one ended inside the header: one byte at a time, at most 13 times.
    Partial& p = *partial_;
    while (!input.empty()) {
        p.head[p.head_bytes++] = input.front();
        input = input.subspan(1);
        const Result<FrameHeader> header =
            parse_header(ByteView{p.head}.first(p.head_bytes), deflate_agreed_);
        if (header) p.head_bytes = 0;
        if (header || header.error() != errc::need_more) return header;
    }
    return errc::need_more;
}

// The rules that span frames, decided on the header alone: a frame that will be refused is refused
// before a byte of it is kept. Opens the message if this is the first of several frames.
std::optional<errc> MessageReader::admit(const FrameHeader& header, const ReaderLimits& limits) {
    if (is_control(header.opcode)) return std::nullopt;
    const bool open = partial_ && partial_->message_open;
    if (header.opcode == Opcode::continuation) {
        if (!open) return errc::unexpected_continuation;
        if (++partial_->fragments > limits.fragments_max) return errc::too_many_fragments;
    } else if (open) {
        return errc::expected_continuation;
    }
    const bool compressed = open ? partial_->compressed : header.rsv1;
    const std::uint64_t collected = open ? partial_->message.size() : 0;
    const std::uint64_t bytes_max = wire_bytes_max(compressed, limits.message_bytes_max);
    if (header.length > bytes_max - std::min(collected, bytes_max)) return errc::message_too_large;
    return std::nullopt;
}

// The fast path: a control frame or an unfragmented message, whole in the caller's buffer.
MessageReader::Event MessageReader::whole_frame(const FrameHeader& header,
                                                std::span<std::byte> payload,
                                                const ReaderLimits& limits, Inflater& inflater) {
    unmask(payload, header.mask);
    if (is_control(header.opcode)) return control_event(header.opcode, payload);
    if (header.rsv1) return inflated_event(header.opcode, payload, limits, inflater);
    if (header.opcode == Opcode::text && !is_utf8(as_text(payload))) return fail(errc::not_utf8);
    return data_event(header.opcode, payload);
}

// Keeps what there is of the frame's payload.
std::optional<errc> MessageReader::collect(std::span<std::byte>& input) {
    Partial& p = *partial_;
    const FrameHeader& frame = p.frame;
    const std::uint64_t missing = frame.length - p.received;
    const auto bytes =
        input.first(static_cast<std::size_t>(std::min<std::uint64_t>(missing, input.size())));
    input = input.subspan(bytes.size());
    unmask(bytes, frame.mask, p.received);
    if (is_control(frame.opcode)) {
        std::copy(bytes.begin(), bytes.end(),
                  p.control.begin() + static_cast<std::ptrdiff_t>(p.received));
        p.received += bytes.size();
        return std::nullopt;
    }
    if (!p.message_open) {
        p.message_open = true;
        p.opcode = frame.opcode;
        p.compressed = frame.rsv1;
        p.fragments = 1;
        p.utf8.reset();
    }
    // Fail fast (RFC 6455 §8.1): do not wait for the rest of a text that is wrong already.
    // Compressed text is judged when it is inflated, at the message's end.
    if (p.opcode == Opcode::text && !p.compressed && !p.utf8.feed(bytes)) return errc::not_utf8;
    p.message.insert(p.message.end(), bytes.begin(), bytes.end());
    p.received += bytes.size();
    return std::nullopt;
}

// The frame is complete; nothing if its message is not.
std::optional<MessageReader::Event> MessageReader::end_of_frame(const ReaderLimits& limits,
                                                                Inflater& inflater) {
    Partial& p = *partial_;
    p.in_payload = false;
    if (is_control(p.frame.opcode)) {
        const auto length = static_cast<std::size_t>(p.frame.length);
        return control_event(p.frame.opcode, ByteView{p.control}.first(length));
    }
    if (!p.frame.fin) return std::nullopt;
    p.message_open = false; // its bytes stay until the next call
    if (p.compressed) return inflated_event(p.opcode, p.message, limits, inflater);
    if (p.opcode == Opcode::text && !p.utf8.complete()) return fail(errc::not_utf8);
    return data_event(p.opcode, p.message);
}

MessageReader::Event MessageReader::control_event(Opcode opcode, ByteView payload) {
    Event event;
    if (opcode != Opcode::close) {
        event.kind = opcode == Opcode::ping ? Kind::ping : Kind::pong;
        event.payload = payload;
        return event;
    }
    const Result<ClosePayload> close = parse_close(payload);
    if (!close) return fail(fault_of(close.error()));
    finished_ = true;
    event.kind = Kind::close;
    event.code = close->code;
    event.reason = close->reason;
    return event;
}

MessageReader::Event MessageReader::inflated_event(Opcode opcode, ByteView payload,
                                                   const ReaderLimits& limits, Inflater& inflater) {
    const Result<ByteView> data = inflater.inflate(payload, limits.message_bytes_max);
    if (!data) return fail(fault_of(data.error()));
    if (opcode == Opcode::text && !is_utf8(as_text(*data))) return fail(errc::not_utf8);
    return data_event(opcode, *data);
}

MessageReader::Event MessageReader::fail(errc error) {
    finished_ = true;
    partial_.reset();
    Event event;
    event.kind = Kind::fault;
    event.code = close_code_for(error);
    event.error = error;
    event.reason = describe(error);
    return event;
}

} // namespace fanfare::ws
