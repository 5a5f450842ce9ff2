#pragma once
// The client's end of one HTTP/2 connection, without I/O: requests and bytes in, bytes and answers
// out. nghttp2 does frames, header compression and flow control; this file decides what becomes of
// each request.
//
// A request is serialised within `submit`, straight from the caller's views into the output: its
// headers are never copied, its body only as far as flow control holds it back. nghttp2 must not be
// asked for output from within its callbacks, so finished requests gather in a list that whoever
// drives the session empties afterwards.

#include "h2_stream.hpp"
#include "out_bytes.hpp"

#include <fanfare/http/h2_client.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

struct nghttp2_session;

namespace fanfare::http {

class H2Session {
  public:
    struct Limits {
        std::uint32_t initial_streams = 1'000;
        std::uint32_t streams_max = 1'000;
        std::int32_t first_stream_id = 1;
    };
    /// `scheme` and `authority` outlive the session. The preface and SETTINGS are in the output.
    H2Session(const Limits& limits, H2Streams& streams, std::string_view scheme,
              std::string_view authority);
    ~H2Session();
    H2Session(const H2Session&) = delete;
    H2Session& operator=(const H2Session&) = delete;

    /// Requests that may be submitted now.
    [[nodiscard]] std::size_t room() const noexcept;
    /// Only with room. `due`: when to give up, by the reactor's clock. False: the session is
    /// broken (see `broken`); the request ends as refused with all others.
    bool submit(const H2Request& request, H2Caller& caller, std::uint64_t tag, MonoMillis due);
    /// What the peer sent. False: broken.
    bool receive(std::span<const std::byte> bytes);
    /// Serialises what nghttp2 has to say, up to a bound of the output.
    void pump();
    /// What waits to be sent; whoever sends it consumes it.
    [[nodiscard]] OutBytes& output() noexcept { return output_; }

    /// Ends those whose deadline has passed.
    void expire(MonoMillis now);
    [[nodiscard]] const H2Stream* first_due() const noexcept { return earliest_; }
    /// Ends all: those of which no byte left are refused, the others lost. `reason`: lives for
    /// ever.
    void end_all(const char* reason);
    /// The next request that has ended, out of the list; null: none. The caller gives it back.
    [[nodiscard]] H2Stream* take_finished() noexcept;
    [[nodiscard]] bool has_finished() const noexcept { return finished_first_ != nullptr; }

    void ping();
    /// No more requests from us; the peer is told.
    void drain();

    [[nodiscard]] std::size_t open() const noexcept { return open_; }
    [[nodiscard]] bool settled() const noexcept { return settled_; } // the peer's SETTINGS came
    [[nodiscard]] bool answered() const noexcept { return answered_; }
    /// Takes no more requests, ever: GOAWAY either way, or ids at their end.
    [[nodiscard]] bool draining() const noexcept { return draining_; }
    [[nodiscard]] bool full() const noexcept; // the peer allows streams, and all are in use
    /// nghttp2 has nothing more to say or to hear: drained, or the peer broke the protocol.
    [[nodiscard]] bool over() const noexcept;
    /// Empty: not broken. Lives for ever.
    [[nodiscard]] const char* broken() const noexcept { return broken_; }
    [[nodiscard]] bool ping_pending() const noexcept { return ping_pending_; }
    /// News since the last call; cleared by it.
    struct News {
        bool settings = false;
        unsigned goaways = 0;
        std::uint32_t goaway_error = 0;
        std::string goaway_data;
    };
    [[nodiscard]] bool has_news() const noexcept { return has_news_; }
    [[nodiscard]] News take_news();

  private:
    struct Callbacks;
    friend struct Callbacks;
    void pump_all();
    void append_frames(std::size_t output_max);
    void finish(H2Stream& stream);
    void close_stream(H2Stream& stream, std::uint32_t error);
    void abandon(H2Stream& stream, H2Answer::Kind kind, const char* reason);
    void list_by_deadline(H2Stream& stream) noexcept;
    void unlist(H2Stream& stream) noexcept;
    void read_limit() noexcept;
    [[nodiscard]] H2Stream* find(std::int32_t id) noexcept;
    void on_header(H2Stream& stream, std::string_view name, std::string_view value);
    void on_data(H2Stream& stream, std::string_view data);
    void on_end_stream(H2Stream& stream);

    H2Streams& streams_;
    const std::string_view scheme_;
    const std::string_view authority_;
    const Limits limits_;
    nghttp2_session* session_ = nullptr;
    OutBytes output_;
    std::size_t open_ = 0;         // submitted and not finished
    std::uint32_t peer_limit_ = 0; // SETTINGS_MAX_CONCURRENT_STREAMS
    H2Stream* earliest_ = nullptr; // by deadline
    H2Stream* latest_ = nullptr;
    H2Stream* finished_first_ = nullptr;
    H2Stream* finished_last_ = nullptr;
    H2Stream* found_ = nullptr; // the one asked for last: headers come one by one
    News news_;
    bool has_news_ = false;
    bool settled_ = false;
    bool answered_ = false;
    bool draining_ = false;
    bool ping_pending_ = false;
    const char* broken_ = "";
};

} // namespace fanfare::http
