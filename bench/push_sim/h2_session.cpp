#include "h2_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <nghttp2/nghttp2.h>
#include <stdexcept>

namespace sim {
namespace {

constexpr std::uint32_t no_limit = 0x7FFFFFFF;

std::string_view view(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

nghttp2_nv field(std::string_view name, std::string_view value) {
    // nghttp2 does not write to them; they live in the exchange until its stream is closed.
    return {const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(name.data())),
            const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(value.data())),
            name.size(), value.size(),
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

/// Three digits that outlive the frame.
std::string_view status_text(int status) {
    static const auto texts = [] {
        std::array<std::array<char, 3>, 1000> all{};
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i] = {static_cast<char>('0' + i / 100), static_cast<char>('0' + i / 10 % 10),
                      static_cast<char>('0' + i % 10)};
        }
        return all;
    }();
    const auto& text = texts[static_cast<std::size_t>(std::clamp(status, 100, 999))];
    return {text.data(), text.size()};
}

} // namespace

/// nghttp2's callbacks; `user` is the session.
struct H2Callbacks {
    static H2Session& self(void* user) { return *static_cast<H2Session*>(user); }

    static Exchange* exchange(nghttp2_session* session, std::int32_t stream) {
        return static_cast<Exchange*>(::nghttp2_session_get_stream_user_data(session, stream));
    }

    static int begin_headers(nghttp2_session* /*s*/, const nghttp2_frame* frame, void* user) {
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            self(user).begin_stream(frame->hd.stream_id);
        return 0;
    }

    static int header(nghttp2_session* s, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                      std::uint8_t /*flags*/, void* user) {
        if (Exchange* e = exchange(s, frame->hd.stream_id)) {
            self(user).add_header(*e, view(name, name_size), view(value, value_size));
        }
        return 0;
    }

    static int data(nghttp2_session* s, std::uint8_t /*flags*/, std::int32_t stream,
                    const std::uint8_t* bytes, std::size_t size, void* /*user*/) {
        Exchange* e = exchange(s, stream);
        if (e == nullptr) return 0;
        const std::size_t room = body_bytes_max - e->request.body.size();
        e->too_large = e->too_large || size > room;
        e->request.body.append(view(bytes, std::min(size, room)));
        return 0;
    }

    static int frame(nghttp2_session* s, const nghttp2_frame* frame, void* user) {
        H2Session& session = self(user);
        const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        switch (frame->hd.type) {
        case NGHTTP2_HEADERS:
            if (Exchange* e = exchange(s, frame->hd.stream_id)) session.headers_complete(*e, last);
            break;
        case NGHTTP2_DATA:
            if (Exchange* e = exchange(s, frame->hd.stream_id); e != nullptr && last) {
                session.complete(*e);
            }
            break;
        case NGHTTP2_SETTINGS:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && !session.limits_to_ack_.empty()) {
                session.limit_acked_ = session.limits_to_ack_.front();
                session.limits_to_ack_.pop_front();
            }
            break;
        case NGHTTP2_PING:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) break;
            session.desk_.counters.add(Count::pings);
            if (!session.desk_.settings.ignore_ping) {
                ::nghttp2_submit_ping(s, NGHTTP2_FLAG_ACK, frame->ping.opaque_data);
            }
            break;
        case NGHTTP2_RST_STREAM:
            session.desk_.counters.add(Count::resets_received);
            break;
        default:
            break;
        }
        return 0;
    }

    static int stream_close(nghttp2_session* /*s*/, std::int32_t stream, std::uint32_t error,
                            void* user) {
        self(user).close_stream(stream, error);
        return 0;
    }

    static ssize_t read_body(nghttp2_session* /*s*/, std::int32_t /*stream*/, std::uint8_t* out,
                             std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                             void* user) {
        auto& e = *static_cast<Exchange*>(source->ptr);
        const std::string& body = e.answer.body;
        const std::size_t left = body.size() - e.body_sent;
        const bool split = self(user).desk_.settings.split;
        // In pieces: a third each, and the end of the stream on a frame of its own.
        const std::size_t piece = split ? std::min(left, body.size() / 3 + 1) : left;
        const std::size_t n = std::min(piece, size);
        std::memcpy(out, body.data() + e.body_sent, n);
        e.body_sent += n;
        if (n == left && (!split || left == 0)) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(n);
    }

    static nghttp2_session_callbacks* table() {
        static nghttp2_session_callbacks* const callbacks = [] {
            nghttp2_session_callbacks* c = nullptr;
            if (::nghttp2_session_callbacks_new(&c) != 0) throw std::bad_alloc{};
            ::nghttp2_session_callbacks_set_on_begin_headers_callback(c, begin_headers);
            ::nghttp2_session_callbacks_set_on_header_callback(c, header);
            ::nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data);
            ::nghttp2_session_callbacks_set_on_frame_recv_callback(c, frame);
            ::nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_close);
            return c;
        }();
        return callbacks;
    }

    static nghttp2_option* options() {
        static nghttp2_option* const options = [] {
            nghttp2_option* o = nullptr;
            if (::nghttp2_option_new(&o) != 0) throw std::bad_alloc{};
            ::nghttp2_option_set_no_auto_ping_ack(o, 1);
            return o;
        }();
        return options;
    }
};

H2Session::H2Session(Carrier& carrier, Desk& desk, Peer& peer)
    : carrier_(carrier), desk_(desk), peer_(peer) {
    if (::nghttp2_session_server_new2(&session_, H2Callbacks::table(), this,
                                      H2Callbacks::options()) != 0) {
        throw std::bad_alloc{};
    }
    greet();
}

H2Session::~H2Session() {
    ::nghttp2_session_del(session_);
    for (auto& [id, exchange] : open_) desk_.give_back(std::unique_ptr<Exchange>{exchange});
}

// As APNs was seen to greet; the other services get the same with their own stream limit.
void H2Session::greet() {
    limit_ =
        desk_.settings.ramp ? std::min(1U, desk_.settings.streams_max) : desk_.settings.streams_max;
    const std::array<nghttp2_settings_entry, 5> settings{
        {{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096},
         {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, no_limit},
         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, desk_.settings.window},
         {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16384},
         {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 8000}}};
    limits_to_send_.push_back(limit_);
    ::nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    if (const std::string reason = desk_.service().refuses(peer_); !reason.empty()) {
        send_goaway(0, NGHTTP2_NO_ERROR, reason);
        ending_ = true;
    }
}

void H2Session::announce(std::uint32_t streams_max) {
    if (streams_max == limit_) return;
    limit_ = streams_max;
    const nghttp2_settings_entry entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, no_limit};
    limits_to_send_.push_back(limit_);
    ::nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
}

void H2Session::patch_settings(char* frame, std::size_t size) {
    constexpr std::size_t head_size = 9;
    constexpr std::size_t entry_size = 6;
    const bool is_ack = (frame[4] & NGHTTP2_FLAG_ACK) != 0;
    if (frame[3] != NGHTTP2_SETTINGS || is_ack || limits_to_send_.empty()) return;
    const std::uint32_t limit = limits_to_send_.front();
    limits_to_send_.pop_front();
    limits_to_ack_.push_back(limit);
    for (std::size_t at = head_size; at + entry_size <= size; at += entry_size) {
        if (frame[at] != 0 || frame[at + 1] != NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) continue;
        for (std::size_t i = 0; i < 4; ++i) {
            frame[at + 2 + i] = static_cast<char>((limit >> (24 - 8 * i)) & 0xFFU);
        }
    }
}

bool H2Session::receive(std::string_view bytes) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
    broken_ = ::nghttp2_session_mem_recv(session_, data, bytes.size()) < 0;
    return !broken_;
}

void H2Session::produce(std::string& out) {
    constexpr std::size_t enough = 64 * 1024;
    while (out.size() < enough) {
        const std::uint8_t* data = nullptr;
        const ssize_t size = ::nghttp2_session_mem_send(session_, &data);
        if (size <= 0) {
            broken_ = broken_ || size < 0;
            return;
        }
        const std::size_t start = out.size();
        out.append(view(data, static_cast<std::size_t>(size)));
        if (size >= 9) patch_settings(out.data() + start, static_cast<std::size_t>(size));
        if (desk_.settings.split) return;
    }
}

bool H2Session::finished() const {
    return broken_ || ending_ ||
           (::nghttp2_session_want_read(session_) == 0 &&
            ::nghttp2_session_want_write(session_) == 0);
}

void H2Session::begin_stream(std::int32_t id) {
    desk_.counters.add(Count::streams);
    if (open_.size() >= limit_) {
        desk_.counters.add(Count::streams_refused);
        if (open_.size() >= limit_acked_) desk_.counters.add(Count::streams_over_limit);
        return reset_stream(id, NGHTTP2_REFUSED_STREAM);
    }
    Exchange* exchange = desk_.take_exchange().release();
    exchange->stream = id;
    open_.emplace_hint(open_.end(), id, exchange);
    desk_.counters.add(Count::streams_open);
    desk_.counters.raise(Count::streams_peak, static_cast<std::int64_t>(open_.size()));
    ::nghttp2_session_set_stream_user_data(session_, id, exchange);
}

void H2Session::add_header(Exchange& exchange, std::string_view name, std::string_view value) {
    Request& request = exchange.request;
    if (!name.starts_with(':')) return request.headers.add(name, value);
    if (name == ":path") {
        request.path = value;
    } else if (name == ":method") {
        request.method = value;
    } else if (name == ":authority") {
        request.authority = value;
    } else if (name == ":scheme") {
        request.scheme = value;
    }
}

void H2Session::headers_complete(Exchange& exchange, bool last) {
    if (exchange.request.authority.empty()) {
        exchange.request.authority = exchange.request.headers.get("host");
    }
    if (desk_.drops(DropAt::headers)) return drop();
    if (last) complete(exchange);
}

/// What nghttp2 still finds in the bytes that it was given is not for us any more.
void H2Session::drop() {
    dropped_ = true;
    carrier_.drop();
}

void H2Session::complete(Exchange& exchange) {
    if (dropped_) return;
    if (desk_.drops(DropAt::body)) return drop();
    desk_.decide(exchange, peer_);
    exchange.state = Exchange::State::waiting;
    if (exchange.answer.delay > Duration::zero()) {
        return carrier_.schedule(exchange.answer.delay, exchange.stream);
    }
    hold(exchange);
}

void H2Session::hold(Exchange& exchange) {
    const unsigned reversed = desk_.settings.reversed;
    if (reversed == 0) return submit(exchange);
    if (held_.empty()) carrier_.schedule(desk_.settings.reversed_wait, due_reversed);
    held_.push_front(exchange.stream);
    if (held_.size() >= reversed) release_held();
}

void H2Session::release_held() {
    std::deque<std::int32_t> held;
    held.swap(held_);
    for (const std::int32_t id : held) {
        if (Exchange* exchange = find(id)) submit(*exchange);
    }
}

void H2Session::submit(Exchange& exchange) {
    if (dropped_) return;
    const Answer& answer = exchange.answer;
    switch (answer.deed) {
    case Deed::never:
        return;
    case Deed::drop:
        return drop();
    case Deed::reset_stream:
        return reset_stream(exchange.stream, answer.error_code);
    case Deed::answer:
        break;
    }
    constexpr std::size_t fields_max = 32;
    std::array<nghttp2_nv, fields_max> fields;
    std::size_t count = 0;
    fields[count++] = field(":status", status_text(answer.status));
    for (std::size_t i = 0; i < answer.headers.size() && count < fields_max; ++i) {
        const auto [name, value] = answer.headers[i];
        fields[count++] = field(name, value);
    }
    nghttp2_data_provider body{};
    body.source.ptr = &exchange;
    body.read_callback = &H2Callbacks::read_body;
    const bool has_body = !answer.body.empty() || desk_.settings.split;
    exchange.state = Exchange::State::answered;
    ::nghttp2_submit_response(session_, exchange.stream, fields.data(), count,
                              has_body ? &body : nullptr);
    desk_.answered(peer_, exchange);
    follow_limit(exchange);
    if (answer.after == After::goaway) {
        send_goaway(::nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                    answer.after_reason);
    } else if (answer.after == After::close) {
        ending_ = true;
    }
}

void H2Session::follow_limit(const Exchange& exchange) {
    const Settings& settings = desk_.settings;
    const bool success = exchange.answer.status < 300;
    proven_ = proven_ || success;
    if (settings.dip && !success) {
        announce(std::min(1U, settings.streams_max));
    } else if ((settings.dip || settings.ramp) && success) {
        announce(settings.streams_max);
    }
}

void H2Session::close_stream(std::int32_t id, std::uint32_t error_code) {
    const auto found = open_.find(id);
    if (found == open_.end()) return;
    Exchange* exchange = found->second;
    open_.erase(found);
    desk_.counters.add(Count::streams_open, -1);
    if (exchange->state != Exchange::State::answered) {
        const bool refused =
            (goaway_last_ >= 0 && id > goaway_last_) || error_code == NGHTTP2_REFUSED_STREAM;
        desk_.unanswered(peer_, *exchange, refused ? "not_processed" : "reset");
    }
    desk_.give_back(std::unique_ptr<Exchange>{exchange});
}

void H2Session::reset_stream(std::int32_t id, std::uint32_t error_code) {
    desk_.counters.add(Count::resets_sent);
    ::nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, error_code);
}

void H2Session::on_due(std::int32_t what) {
    if (what == due_reversed) return release_held();
    if (what == due_goaway) {
        return send_goaway(::nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                           "Shutdown");
    }
    if (Exchange* exchange = find(what)) hold(*exchange);
}

void H2Session::on_command(const Command& command) {
    switch (command.kind) {
    case Command::Kind::settings:
        if (!desk_.settings.ramp || proven_) announce(desk_.settings.streams_max);
        lower_open_streams(command.finish_open);
        break;
    case Command::Kind::goaway:
        goaway(command);
        break;
    case Command::Kind::reset_streams:
        for (const auto& [id, exchange] : open_) reset_stream(id, command.error_code);
        break;
    case Command::Kind::drop:
    case Command::Kind::freeze:
        break; // the connection's own
    }
}

void H2Session::lower_open_streams(bool finish_open) {
    if (finish_open || open_.size() <= limit_) return;
    std::size_t above = open_.size() - limit_;
    for (auto at = open_.rbegin(); at != open_.rend() && above > 0; ++at, --above) {
        reset_stream(at->first, NGHTTP2_REFUSED_STREAM);
    }
}

void H2Session::goaway(const Command& command) {
    std::int32_t last = ::nghttp2_session_get_last_proc_stream_id(session_);
    std::string_view reason = command.reason;
    switch (command.goaway) {
    case Command::Goaway::plain:
    case Command::Goaway::close:
        break;
    case Command::Goaway::empty:
        reason = {};
        break;
    case Command::Goaway::middle:
        last = middle_stream();
        break;
    case Command::Goaway::twice:
        send_goaway(last, command.error_code, reason);
        break;
    case Command::Goaway::graceful:
        desk_.counters.add(Count::goaways_sent);
        ::nghttp2_submit_shutdown_notice(session_);
        return carrier_.schedule(milliseconds(50), due_goaway);
    }
    if (command.last_stream >= 0) last = command.last_stream;
    send_goaway(last, command.error_code, reason);
    ending_ = ending_ || command.goaway == Command::Goaway::close;
}

void H2Session::send_goaway(std::int32_t last_stream, std::uint32_t error_code,
                            std::string_view reason) {
    const std::string debug =
        reason.empty() ? std::string{} : fmt::format(R"({{"reason":"{}"}})", reason);
    // RFC 9113 §6.8: a later GOAWAY must not name a higher stream.
    if (goaway_last_ >= 0) last_stream = std::min(last_stream, goaway_last_);
    goaway_last_ = last_stream;
    desk_.counters.add(Count::goaways_sent);
    ::nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_stream, error_code,
                            reinterpret_cast<const std::uint8_t*>(debug.data()), debug.size());
}

void H2Session::abandon(std::string_view fate) {
    for (const auto& [id, exchange] : open_) {
        desk_.counters.add(Count::streams_open, -1);
        if (exchange->state == Exchange::State::answered) continue;
        desk_.unanswered(peer_, *exchange, fate);
        exchange->state = Exchange::State::answered; // accounted for
    }
}

Exchange* H2Session::find(std::int32_t id) {
    const auto found = open_.find(id);
    const bool waiting = found != open_.end() && found->second->state == Exchange::State::waiting;
    return waiting ? found->second : nullptr;
}

std::int32_t H2Session::middle_stream() const {
    if (open_.empty()) return ::nghttp2_session_get_last_proc_stream_id(session_);
    auto at = open_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>((open_.size() - 1) / 2));
    return at->first;
}

} // namespace sim
