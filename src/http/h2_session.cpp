#include "h2_session.hpp"

#include <fanfare/base/assert.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <new>
#include <nghttp2/nghttp2.h>
#include <utility>

namespace fanfare::http {
namespace {

// Output that one connection keeps for a peer that does not read: beyond it no request is taken and
// nghttp2 is not asked for more, so that its own bound of queued answers (1,000) holds.
constexpr std::size_t output_bytes_max = std::size_t{256} * 1024;
// Of the connection; answers are small, and a window of 64 KiB would be renewed all the time.
constexpr std::int32_t receive_window = 1 << 20;

std::string_view view(const std::uint8_t* at, std::size_t size) {
    return {reinterpret_cast<const char*>(at), size}; // NOLINT: bytes
}

nghttp2_nv field(std::string_view name, std::string_view value, bool no_index = false) {
    nghttp2_nv nv{};
    // NOLINTNEXTLINE: nghttp2 does not write there
    nv.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data()));
    // NOLINTNEXTLINE
    nv.value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data()));
    nv.namelen = name.size();
    nv.valuelen = value.size();
    nv.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    if (no_index) nv.flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    return nv;
}

int parse_status(std::string_view digits) {
    int status = 0;
    for (const char digit : digits) status = status * 10 + (digit - '0');
    return status; // nghttp2 lets three digits through, nothing else
}

} // namespace

/// What nghttp2 calls. `user` is the session.
struct H2Session::Callbacks {
    static H2Session& self(void* user) { return *static_cast<H2Session*>(user); }

    static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                         const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                         std::size_t value_size, std::uint8_t /*flags*/, void* user) {
        H2Session& me = self(user);
        if (H2Stream* const stream = me.find(frame->hd.stream_id))
            me.on_header(*stream, view(name, name_size), view(value, value_size));
        return 0;
    }

    static int on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                       const std::uint8_t* data, std::size_t size, void* user) {
        H2Session& me = self(user);
        if (H2Stream* const stream = me.find(id)) me.on_data(*stream, view(data, size));
        return 0;
    }

    static int on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
        H2Session& me = self(user);
        switch (frame->hd.type) {
        case NGHTTP2_HEADERS:
        case NGHTTP2_DATA:
            if (H2Stream* const stream = me.find(frame->hd.stream_id)) {
                if (stream->status >= 200) stream->headed = true;
                if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) me.on_end_stream(*stream);
            }
            break;
        case NGHTTP2_SETTINGS:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) break;
            me.settled_ = true;
            me.read_limit();
            me.news_.settings = me.has_news_ = true;
            break;
        case NGHTTP2_PING:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) me.ping_pending_ = false;
            break;
        case NGHTTP2_GOAWAY:
            me.draining_ = true;
            ++me.news_.goaways;
            me.has_news_ = true;
            me.news_.goaway_error = frame->goaway.error_code;
            // Of several in one read: the words of the last one that has any.
            if (frame->goaway.opaque_data_len != 0)
                me.news_.goaway_data =
                    view(frame->goaway.opaque_data,
                         std::min(frame->goaway.opaque_data_len, H2Pool::debug_bytes_max));
            break;
        default:
            break;
        }
        return 0;
    }

    static int on_stream_close(nghttp2_session* /*session*/, std::int32_t id, std::uint32_t error,
                               void* user) {
        H2Session& me = self(user);
        if (H2Stream* const stream = me.find(id)) me.close_stream(*stream, error);
        return 0;
    }

    /// Tells how much of the body goes into the next frame; `send_data` copies it.
    static ssize_t read_body(nghttp2_session* /*session*/, std::int32_t /*id*/,
                             std::uint8_t* /*buffer*/, std::size_t size, std::uint32_t* flags,
                             nghttp2_data_source* source, void* /*user*/) {
        const H2Stream& stream = *static_cast<const H2Stream*>(source->ptr);
        const std::size_t bytes = std::min(size, stream.unsent.size());
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (bytes == stream.unsent.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(bytes);
    }

    static int send_data(nghttp2_session* /*session*/, nghttp2_frame* frame,
                         const std::uint8_t* head, std::size_t bytes, nghttp2_data_source* source,
                         void* user) {
        constexpr std::size_t frame_head_bytes = 9;
        H2Stream& stream = *static_cast<H2Stream*>(source->ptr);
        OutBytes& output = self(user).output_;
        output.append(view(head, frame_head_bytes));
        output.append(stream.unsent.substr(0, bytes));
        stream.unsent.remove_prefix(bytes);
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) stream.upload_done = true;
        return 0;
    }

    static const nghttp2_session_callbacks* table() {
        static const nghttp2_session_callbacks* const callbacks = [] {
            nghttp2_session_callbacks* made = nullptr;
            if (nghttp2_session_callbacks_new(&made) != 0) throw std::bad_alloc{};
            nghttp2_session_callbacks_set_on_header_callback(made, on_header);
            nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
            nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
            nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
            nghttp2_session_callbacks_set_send_data_callback(made, send_data);
            return made;
        }();
        return callbacks;
    }
};

H2Session::H2Session(const Limits& limits, H2Streams& streams, std::string_view scheme,
                     std::string_view authority)
    : streams_(streams), scheme_(scheme), authority_(authority), limits_(limits) {
    if (nghttp2_session_client_new(&session_, Callbacks::table(), this) != 0)
        throw std::bad_alloc{};
    if (limits.first_stream_id != 1)
        nghttp2_session_set_next_stream_id(session_, limits.first_stream_id);
    const std::array settings{
        nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2Pool::head_bytes_max},
    };
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, receive_window);
    pump();
}

H2Session::~H2Session() {
    nghttp2_session_del(session_); // calls nothing back
    for (H2Stream* stream = earliest_; stream != nullptr;)
        streams_.give_back(std::exchange(stream, stream->later));
    while (H2Stream* const stream = take_finished()) streams_.give_back(stream);
}

std::size_t H2Session::room() const noexcept {
    if (draining_ || !settled_ || *broken_ != 0 || output_.size() >= output_bytes_max) return 0;
    const std::uint32_t own =
        answered_ ? limits_.streams_max : std::min(limits_.initial_streams, limits_.streams_max);
    const std::size_t limit = std::min(peer_limit_, own);
    return limit > open_ ? limit - open_ : 0;
}

bool H2Session::full() const noexcept {
    return answered_ && open_ >= std::min(peer_limit_, limits_.streams_max) && peer_limit_ > 0;
}

void H2Session::read_limit() noexcept {
    peer_limit_ =
        nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool H2Session::submit(const H2Request& request, H2Caller& caller, std::uint64_t tag,
                       MonoMillis due) {
    FANFARE_ASSERT(request.headers.size() <= H2Pool::headers_max);
    std::array<nghttp2_nv, H2Pool::headers_max + 4> fields; // NOLINT: filled as far as it is used
    std::size_t count = 0;
    fields[count++] = field(":method", request.method);
    fields[count++] = field(":scheme", scheme_);
    fields[count++] = field(":authority", authority_);
    fields[count++] = field(":path", request.path);
    for (const H2Header& header : request.headers)
        fields[count++] = field(header.name, header.value, header.no_index);

    H2Stream* const stream = streams_.take();
    stream->caller = &caller;
    stream->tag = tag;
    stream->due = due;
    stream->unsent = request.body;
    stream->upload_done = request.body.empty();
    nghttp2_data_provider body{};
    body.source.ptr = stream;
    body.read_callback = Callbacks::read_body;

    stream->output_begin = output_.end();
    ++open_;
    list_by_deadline(*stream);
    stream->id = nghttp2_submit_request(session_, nullptr, fields.data(), count,
                                        request.body.empty() ? nullptr : &body, stream);
    if (stream->id < 0) { // ids at their end, or no memory
        draining_ = true;
        stream->kind = H2Answer::Kind::refused;
        stream->reason = "no stream could be opened";
        finish(*stream);
        return true; // nothing of it is left in nghttp2
    }
    pump_all();
    // A body that is gone, or a known stream, proves that the headers went out.
    const bool serialised = (stream->upload_done && !request.body.empty()) ||
                            nghttp2_session_find_stream(session_, stream->id) != nullptr;
    if (stream->finished) { // nghttp2 gave it up
        if (!serialised) stream->kind = H2Answer::Kind::refused;
        return *broken_ == 0;
    }
    // The views that nghttp2 would still hold end with this call, so it must not go on.
    if (*broken_ == 0 && !serialised) broken_ = "a request was not serialised";
    if (*broken_ != 0) return false;
    if (!stream->upload_done) {
        stream->kept = stream->unsent;
        stream->unsent = stream->kept;
    }
    if (stream->id == std::numeric_limits<std::int32_t>::max()) draining_ = true; // the last id
    return true;
}

bool H2Session::receive(std::span<const std::byte> bytes) {
    const auto* const at = reinterpret_cast<const std::uint8_t*>(bytes.data()); // NOLINT: bytes
    const ssize_t taken = nghttp2_session_mem_recv(session_, at, bytes.size());
    found_ = nullptr;
    if (taken < 0) {
        broken_ = nghttp2_strerror(static_cast<int>(taken));
        return false;
    }
    return true;
}

void H2Session::append_frames(std::size_t output_max) {
    while (output_.size() < output_max) {
        const std::uint8_t* data = nullptr;
        const ssize_t size = nghttp2_session_mem_send(session_, &data);
        if (size == 0) break;
        if (size < 0) {
            broken_ = nghttp2_strerror(static_cast<int>(size));
            break;
        }
        output_.append(view(data, static_cast<std::size_t>(size)));
    }
    found_ = nullptr;
}

void H2Session::pump() {
    append_frames(output_bytes_max);
}

void H2Session::pump_all() {
    append_frames(std::numeric_limits<std::size_t>::max());
}

H2Stream* H2Session::find(std::int32_t id) noexcept {
    if (found_ == nullptr || found_->id != id)
        found_ = static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session_, id));
    return found_;
}

void H2Session::on_header(H2Stream& stream, std::string_view name, std::string_view value) {
    if (stream.headed) return; // trailers
    if (name == ":status") {
        stream.head.clear(); // of an interim response (1xx)
        stream.status = parse_status(value);
        return;
    }
    if (stream.head.size() + name.size() + value.size() > H2Pool::head_bytes_max) {
        abandon(stream, H2Answer::Kind::lost, "the headers of the answer are too large");
        return;
    }
    pack_header(stream.head, name, value);
}

void H2Session::on_data(H2Stream& stream, std::string_view data) {
    const std::size_t room = H2Pool::body_bytes_max - stream.body.size();
    stream.body.append(data.substr(0, room));
    if (data.size() <= room) return;
    // The status has told what became of the request; nobody reads more of the words.
    stream.truncated = true;
    abandon(stream, H2Answer::Kind::response, "");
}

void H2Session::on_end_stream(H2Stream& stream) {
    stream.ended = stream.status >= 200;
    // Otherwise nghttp2 closes the stream next. A server may answer without waiting for the whole
    // request (RFC 9113 §8.1); the rest of it is of no use then.
    if (stream.ended && !stream.upload_done) abandon(stream, H2Answer::Kind::response, "");
}

void H2Session::close_stream(H2Stream& stream, std::uint32_t error) {
    if (stream.ended) {
        stream.kind = H2Answer::Kind::response;
    } else {
        // nghttp2 closes the streams above a GOAWAY's last id with the same code. A peer that began
        // to answer has no say in this any more.
        const bool refused = error == NGHTTP2_REFUSED_STREAM && stream.status == 0;
        stream.kind = refused ? H2Answer::Kind::refused : H2Answer::Kind::lost;
        stream.reason = nghttp2_http2_strerror(error);
    }
    finish(stream);
}

void H2Session::abandon(H2Stream& stream, H2Answer::Kind kind, const char* reason) {
    // The reset leaves before anything else of this stream: nghttp2 asks for no more of its body.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_CANCEL);
    nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
    stream.kind = kind;
    stream.reason = reason;
    finish(stream);
}

void H2Session::finish(H2Stream& stream) {
    unlist(stream);
    stream.finished = true;
    --open_;
    if (found_ == &stream) found_ = nullptr;
    if (stream.kind == H2Answer::Kind::response) answered_ = true;
    (finished_last_ != nullptr ? finished_last_->next : finished_first_) = &stream;
    finished_last_ = &stream;
}

H2Stream* H2Session::take_finished() noexcept {
    H2Stream* const stream = finished_first_;
    if (stream == nullptr) return nullptr;
    finished_first_ = stream->next;
    if (finished_first_ == nullptr) finished_last_ = nullptr;
    return stream;
}

void H2Session::list_by_deadline(H2Stream& stream) noexcept {
    // Callers give the same time to all their requests, so the last place is nearly always right.
    H2Stream* before = latest_;
    while (before != nullptr && before->due > stream.due) before = before->earlier;
    H2Stream* const after = before != nullptr ? before->later : earliest_;
    stream.earlier = before;
    stream.later = after;
    (before != nullptr ? before->later : earliest_) = &stream;
    (after != nullptr ? after->earlier : latest_) = &stream;
}

void H2Session::unlist(H2Stream& stream) noexcept {
    (stream.earlier != nullptr ? stream.earlier->later : earliest_) = stream.later;
    (stream.later != nullptr ? stream.later->earlier : latest_) = stream.earlier;
    stream.earlier = stream.later = nullptr;
}

void H2Session::expire(MonoMillis now) {
    while (earliest_ != nullptr && earliest_->due <= now)
        abandon(*earliest_, H2Answer::Kind::lost, "no answer in time");
}

void H2Session::end_all(const char* reason) {
    if (*broken_ == 0) broken_ = reason;
    while (earliest_ != nullptr) {
        H2Stream& stream = *earliest_;
        const bool unsent = stream.output_begin >= output_.gone();
        stream.kind = unsent ? H2Answer::Kind::refused : H2Answer::Kind::lost;
        stream.torn = !unsent;
        stream.reason = reason;
        finish(stream);
    }
}

bool H2Session::over() const noexcept {
    return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void H2Session::ping() {
    if (nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr) == 0) ping_pending_ = true;
}

void H2Session::drain() {
    draining_ = true;
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
}

H2Session::News H2Session::take_news() {
    has_news_ = false;
    return std::exchange(news_, News{});
}

} // namespace fanfare::http
