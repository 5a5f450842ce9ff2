#include "ws_client.hpp"

#include "support/http_client.hpp"
#include "support/json_text.hpp"

#include <fanfare/base/bytes.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace fanfare::test {
namespace {

constexpr unsigned opcode_close = 8;
constexpr unsigned opcode_ping = 9;
constexpr unsigned fin = 0x80;
constexpr unsigned rsv1 = 0x40;

/// RFC 7692 §7.2.2, without context takeover.
std::string inflate_message(std::string_view packed) {
    std::string in{packed};
    in.append("\x00\x00\xff\xff", 4);
    z_stream stream{};
    if (inflateInit2(&stream, -15) != Z_OK) throw std::runtime_error("inflateInit2");
    stream.next_in = reinterpret_cast<Bytef*>(in.data()); // NOLINT: zlib's interface
    stream.avail_in = static_cast<uInt>(in.size());
    std::string out;
    std::array<char, 16'384> part; // NOLINT: written by inflate
    int status = Z_OK;
    do {
        stream.next_out = reinterpret_cast<Bytef*>(part.data()); // NOLINT
        stream.avail_out = part.size();
        status = inflate(&stream, Z_SYNC_FLUSH);
        out.append(part.data(), part.size() - stream.avail_out);
    } while (status == Z_OK && stream.avail_out == 0);
    inflateEnd(&stream);
    if (status != Z_OK && status != Z_BUF_ERROR) throw std::runtime_error("bad deflate data");
    return out;
}

} // namespace

std::string client_frame(std::string_view payload, unsigned head) {
    std::string frame;
    frame.reserve(payload.size() + 14);
    frame += static_cast<char>(head);
    const auto big_endian = [&frame](std::uint64_t value, unsigned bytes) {
        while (bytes-- > 0) frame += static_cast<char>(value >> (8 * bytes) & 0xff);
    };
    if (payload.size() < 126) {
        frame += static_cast<char>(0x80 | payload.size());
    } else if (payload.size() <= 0xffff) {
        frame += static_cast<char>(0x80 | 126);
        big_endian(payload.size(), 2);
    } else {
        frame += static_cast<char>(0x80 | 127);
        big_endian(payload.size(), 8);
    }
    constexpr std::array<unsigned char, 4> key{0x37, 0xfa, 0x21, 0x3d};
    for (const unsigned char byte : key) frame += static_cast<char>(byte);
    for (std::size_t i = 0; i < payload.size(); ++i)
        frame += static_cast<char>(static_cast<unsigned char>(payload[i]) ^ key[i % 4]);
    return frame;
}

unsigned reactor_of_session(std::string_view id) {
    const auto bytes = from_base64url(id);
    if (!bytes || bytes->size() < 4) throw std::runtime_error("not a session id");
    std::uint32_t place = 0; // as session/session.cpp makes it
    std::memcpy(&place, bytes->data(), sizeof place);
    return place >> 22;
}

WsClient::WsClient(std::uint16_t port, const WsOptions& options)
    : socket_(port, options.receive_buffer) {
    std::string request = "GET /ws";
    if (!options.token.empty()) request += "?token=" + options.token;
    request += " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    if (options.deflate) request += "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    socket_.send(request + "\r\n");
    std::string head;
    while ((head = take_head(in_)).empty())
        if (socket_.receive(in_) == 0) throw ConnectionEnded("no answer to the upgrade");
    if (!head.starts_with("HTTP/1.1 101 ")) throw std::runtime_error("no upgrade: " + head);
    welcome_ = next().value();
}

unsigned WsClient::reactor() const {
    return reactor_of_session(json_string(welcome_, "session"));
}

std::string WsClient::request(std::string_view members) {
    const std::string id = "{\"id\":" + std::to_string(++last_id_) + ',';
    send(id + std::string{members} + '}');
    std::deque<std::string> before = std::exchange(kept_, {});
    while (std::optional<std::string> message = next()) {
        if (message->starts_with(id)) {
            kept_ = std::move(before);
            return std::move(*message);
        }
        before.push_back(std::move(*message));
    }
    kept_ = std::move(before);
    throw std::runtime_error("no reply to " + std::string{members} + ", closed with " +
                             std::to_string(close_code_));
}

std::optional<std::string> WsClient::next(std::chrono::milliseconds wait) {
    timed_out_ = false;
    if (!kept_.empty()) {
        std::string first = std::move(kept_.front());
        kept_.pop_front();
        return first;
    }
    const auto end = TestClock::now() + wait;
    while (true) {
        while (std::optional<Frame> frame = take_frame())
            if (auto message = handle(std::move(*frame))) return message;
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - TestClock::now());
        if (!read_more(std::max(left, std::chrono::milliseconds{0}))) return std::nullopt;
    }
}

bool WsClient::read_more(std::chrono::milliseconds wait) {
    if (close_code_ == 1006) return false;
    if (in_at_ != 0) {
        in_.erase(0, in_at_);
        in_at_ = 0;
    }
    std::size_t got = 0;
    try {
        got = socket_.receive(in_, wait, read_max_);
    } catch (const ConnectionReset&) {
        got = 0;
    }
    bytes_read_ += got;
    if (got != 0) return true;
    timed_out_ = socket_.timed_out();
    if (!timed_out_ && close_code_ == 0) close_code_ = 1006;
    return false;
}

std::optional<WsClient::Frame> WsClient::take_frame() {
    const std::string_view in = std::string_view{in_}.substr(in_at_);
    const auto byte = [&in](std::size_t at) { return static_cast<unsigned char>(in[at]); };
    if (in.size() < 2) return std::nullopt;
    if ((byte(1) & 0x80U) != 0) throw std::runtime_error("a server's frame is masked");
    std::size_t header = 2;
    std::uint64_t length = byte(1);
    if (length >= 126) {
        const std::size_t bytes = length == 126 ? 2 : 8;
        header += bytes;
        if (in.size() < header) return std::nullopt;
        length = 0;
        for (std::size_t i = 0; i < bytes; ++i) length = length << 8U | byte(2 + i);
    }
    if (in.size() - header < length) return std::nullopt;
    Frame frame;
    frame.head = byte(0);
    frame.payload = in.substr(header, static_cast<std::size_t>(length));
    in_at_ += header + static_cast<std::size_t>(length);
    return frame;
}

std::optional<std::string> WsClient::handle(Frame frame) {
    const unsigned opcode = frame.head & 0x0fU;
    if ((frame.head & fin) == 0) throw std::runtime_error("the gateway never fragments");
    if (opcode == opcode_ping) {
        socket_.send(client_frame(frame.payload, fin | 10U));
        return std::nullopt;
    }
    if (opcode == opcode_close) {
        const std::string& payload = frame.payload;
        close_code_ = 1005;
        if (payload.size() >= 2)
            close_code_ = static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8U |
                                                     static_cast<unsigned char>(payload[1]));
        try {
            if (!std::exchange(close_sent_, true))
                socket_.send(client_frame(payload.substr(0, 2), fin | opcode_close));
        } catch (const ConnectionReset&) { // it does not wait for our answer: allowed
        }
        return std::nullopt;
    }
    if (opcode != 1) return std::nullopt;
    if ((frame.head & rsv1) != 0) return inflate_message(frame.payload);
    return std::move(frame.payload);
}

std::uint16_t WsClient::read_to_end(std::chrono::milliseconds wait) {
    const auto end = TestClock::now() + wait;
    kept_.clear();
    while (TestClock::now() < end)
        if (!next(std::chrono::duration_cast<std::chrono::milliseconds>(end - TestClock::now())))
            break;
    if (timed_out_) throw std::runtime_error("the connection does not end");
    return close_code_;
}

void WsClient::close() {
    close_sent_ = true;
    socket_.send(client_frame("\x03\xe8", fin | opcode_close));
    read_to_end();
    socket_.close();
}

} // namespace fanfare::test
