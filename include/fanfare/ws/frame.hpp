#pragma once
// RFC 6455 frames as bytes: header codec, masking, close codes and close payloads. No I/O, no
// memory of earlier frames: what spans frames (fragments, UTF-8, inflating) is MessageReader's.
//
// All functions here may be called on any thread.

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace fanfare::ws {

/// Why bytes of a peer were not taken. `close_code_for` says which close code answers each.
enum class errc {
    need_more = 1,           // not a fault: the header is not complete yet
    reserved_bits,           // RSV2, RSV3, or RSV1 where no compressed message may begin
    reserved_opcode,         // 3–7, 11–15
    control_fragmented,      // a control frame without FIN
    control_too_long,        // a control frame announces more than 125 bytes
    not_masked,              // client frames must be masked, empty ones too
    length_not_shortest,     // a longer length form than needed, or the top bit of 64 set
    unexpected_continuation, // a continuation while no message is open
    expected_continuation,   // a new data frame while a fragmented message is open
    too_many_fragments,      // more fragments in one message than allowed
    message_too_large,       // announced, collected or inflated bytes above the limit
    not_utf8,                // a text message that is not UTF-8
    bad_deflate,             // a compressed message that does not inflate
    close_truncated,         // a close payload of one byte
    close_code_invalid,      // a close code that may not be on the wire
    close_reason_not_utf8,   // a close reason that is not UTF-8
};
[[nodiscard]] const boost::system::error_category& error_category() noexcept;
[[nodiscard]] inline error_code make_error_code(errc e) noexcept {
    return {static_cast<int>(e), error_category()};
}
/// One phrase for people, fit to be a close reason; static storage.
[[nodiscard]] const char* describe(errc e) noexcept;

/// RFC 6455 §5.2.
enum class Opcode : std::uint8_t {
    continuation = 0,
    text = 1,
    binary = 2,
    close = 8,
    ping = 9,
    pong = 10,
};
[[nodiscard]] constexpr bool is_control(Opcode opcode) noexcept {
    return (static_cast<std::uint8_t>(opcode) & 0x8U) != 0;
}

/// The codes that we send (protocol.md §2 "Close codes", RFC 6455 §7.4.1). A received code may be
/// any that `is_valid_close_code` allows; it is kept as a CloseCode without a name.
enum class CloseCode : std::uint16_t {
    normal = 1000,
    going_away = 1001,
    protocol_error = 1002,
    unsupported_data = 1003,
    no_status = 1005, // never on the wire: stands for an empty close payload (RFC 6455 §7.1.5)
    invalid_payload = 1007,
    too_big = 1009,
    internal_error = 1011,
    try_again_later = 1013,
    not_an_object = 4400,
    unauthorized = 4401,
    disconnected = 4403,
    slow_consumer = 4408,
    idle = 4409,
    rate_limited = 4429,
};

/// What a client does about a close.
enum class ClientReaction : std::uint8_t {
    reconnect,   // with backoff, and resume
    fresh_token, // reconnect only with a fresh token
    stay_away,   // trying again does not help
};

struct CloseCodeRow {
    CloseCode code;
    std::string_view name;    // for logs and metric labels
    std::string_view meaning; // for people
    ClientReaction reaction;
};
/// The one table of close codes that clients of this gateway see.
inline constexpr std::array<CloseCodeRow, 14> close_codes{{
    {CloseCode::normal, "normal", "done", ClientReaction::stay_away},
    {CloseCode::going_away, "going_away", "this node drains", ClientReaction::reconnect},
    {CloseCode::protocol_error, "protocol_error", "not RFC 6455", ClientReaction::stay_away},
    {CloseCode::unsupported_data, "unsupported_data", "binary frame on a text protocol",
     ClientReaction::stay_away},
    {CloseCode::invalid_payload, "invalid_payload", "bad UTF-8 or bad compressed data",
     ClientReaction::stay_away},
    {CloseCode::too_big, "too_big", "message too big", ClientReaction::stay_away},
    {CloseCode::internal_error, "internal_error", "our fault", ClientReaction::reconnect},
    {CloseCode::try_again_later, "try_again_later", "overloaded", ClientReaction::reconnect},
    {CloseCode::not_an_object, "not_an_object", "not a JSON object", ClientReaction::stay_away},
    {CloseCode::unauthorized, "unauthorized", "token bad or expired", ClientReaction::fresh_token},
    {CloseCode::disconnected, "disconnected", "disconnected by the API", ClientReaction::stay_away},
    {CloseCode::slow_consumer, "slow_consumer", "did not read fast enough",
     ClientReaction::reconnect},
    {CloseCode::idle, "idle", "no answer to pings", ClientReaction::reconnect},
    {CloseCode::rate_limited, "rate_limited", "rate limit exceeded again and again",
     ClientReaction::stay_away},
}};
/// The row of a code, or nullptr for a code that we do not send. Static storage.
[[nodiscard]] const CloseCodeRow* find_close_code(CloseCode code) noexcept;
/// The close code that answers a fault of the peer: 1002, 1007 or 1009.
[[nodiscard]] CloseCode close_code_for(errc fault) noexcept;
/// May this number stand in a Close frame? RFC 6455 §7.4 and the IANA registry up to 1014.
[[nodiscard]] constexpr bool is_valid_close_code(std::uint16_t code) noexcept {
    if (code >= 3000) return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

inline constexpr std::size_t control_payload_bytes_max = 125; // RFC 6455 §5.5
inline constexpr std::size_t close_reason_bytes_max = control_payload_bytes_max - 2;
inline constexpr std::size_t client_header_bytes_max = 14; // 2, length 8, mask 4
inline constexpr std::size_t server_header_bytes_max = 10; // 2, length 8

using MaskKey = std::array<std::byte, 4>;

struct FrameHeader {
    std::uint64_t length = 0;      // as announced; compare with the limit before buffering
    MaskKey mask{};                //
    Opcode opcode{};               //
    bool fin = false;              // last frame of its message
    bool rsv1 = false;             // first frame of a compressed message (RFC 7692 §6)
    std::uint8_t header_bytes = 0; // how many bytes of the input the header took, 6–14
};

/// Parses the header of a client's frame at the beginning of `in`; the payload need not be there.
/// `deflate_agreed`: permessage-deflate was negotiated, so RSV1 may begin a data message.
/// Fails with errc::need_more if `in` ends too early, else with the first fault in byte order: a
/// fault is told as soon as its byte is there, so any split of the bytes gives the same answer.
/// Source: RFC 6455 §5.2, §5.5; RFC 7692 §6.
[[nodiscard]] Result<FrameHeader> parse_header(ByteView in, bool deflate_agreed);

/// XORs `bytes` with the key. `offset`: position of bytes[0] in the frame's payload, so that a
/// payload can be unmasked piece by piece. Its own inverse. Source: RFC 6455 §5.3.
void unmask(std::span<std::byte> bytes, const MaskKey& key, std::uint64_t offset = 0) noexcept;

/// Bytes of a server frame's header for a payload of `length` bytes: 2, 4 or 10.
[[nodiscard]] constexpr std::size_t header_size(std::size_t length) noexcept {
    if (length < 126) return 2;
    return length <= 0xffff ? 4 : 10;
}
/// Writes the header of an unfragmented, unmasked server frame and returns its size. `to` has room
/// for header_size(length) bytes. `rsv1`: the payload is compressed. Source: RFC 6455 §5.2.
std::size_t write_header(char* to, Opcode opcode, bool rsv1, std::size_t length) noexcept;

struct ClosePayload {
    CloseCode code = CloseCode::no_status; // no_status: the payload was empty
    std::string_view reason;               // UTF-8, shows the parsed bytes
};
/// Reads an unmasked close payload. Fails with errc::close_truncated, errc::close_code_invalid or
/// errc::close_reason_not_utf8. Source: RFC 6455 §5.5.1, §7.4.
[[nodiscard]] Result<ClosePayload> parse_close(ByteView payload);

/// Writes a close payload to `to`, which has room for control_payload_bytes_max bytes, and returns
/// its size. `reason` is UTF-8; it is cut to 123 bytes on a code point's boundary. no_status
/// writes nothing: an empty close is answered by an empty close. Source: RFC 6455 §5.5.1.
std::size_t write_close(char* to, CloseCode code, std::string_view reason) noexcept;

} // namespace fanfare::ws

template <>
struct boost::system::is_error_code_enum<fanfare::ws::errc> : std::true_type {};
