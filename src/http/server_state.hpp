#pragma once
// What the connections of one server share, all on its reactor.

#include "h1_body.hpp"
#include "h1_head_reader.hpp"
#include "h1_response.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/base/shared_bytes.hpp>
#include <fanfare/http/exchange.hpp>
#include <fanfare/http/router.hpp>
#include <fanfare/http/server.hpp>
#include <fanfare/net/slot_map.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::http {

class H1Connection;

/// Bytes behind a body that parsers may read (simdjson's padding).
inline constexpr std::size_t body_slack = 64;

/// What a connection needs while it is busy with a request, lent to it by the server: an idle
/// connection owns none, and a busy one finds its strings grown already.
struct Work {
    enum class Answer : std::uint8_t { none, streaming, complete };

    // Received, but not read yet: part of a head, of a paused body, or pipelined requests.
    std::string input;
    std::size_t input_start = 0;

    // The request.
    HeadReader head;
    BodyDecoder decoder;
    std::string collected;
    std::string_view body = no_body; // in the input, or in `collected`
    Router::Match match;
    bool matched = false; // `match` is that of `head` …
    bool routed = false;  // … and this request has come as far as that
    std::unique_ptr<BodySink> sink;
    std::string request_id; // as the client sent it, or generated; may be empty
    net::Handle handle = 0; // of the exchange, once asked for
    Answer answer = Answer::none;
    int streamed_status = 0;
    MonoMicros began = 0;        // when its head had been read
    bool paused = false;         // the sink wants no more for now
    bool continue_sent = false;  // "100 Continue"
    bool chunked_answer = false; // a streamed answer in chunks

    [[nodiscard]] bool has_input() const noexcept { return input_bytes() != 0; }
    [[nodiscard]] std::size_t input_bytes() const noexcept { return input.size() - input_start; }
    [[nodiscard]] const ParsedHead& request() const noexcept { return head.head(); }
    [[nodiscard]] const Route* route() const noexcept { return routed ? match.route : nullptr; }
    [[nodiscard]] std::size_t route_index() const noexcept {
        return routed ? match.route_index : Router::no_route;
    }
    void reset_request();
    /// The handler has returned: a large body would be kept for nothing.
    void forget_body();

    // An empty body too has readable bytes behind it.
    static constexpr std::array<char, body_slack> padding{};
    static constexpr std::string_view no_body{padding.data(), 0};
};

struct Server::State {
    State(net::Reactor& reactor, Router& router, net::Admission& admission, const Options& options);

    [[nodiscard]] std::unique_ptr<Work> lend_work();
    void take_back(std::unique_ptr<Work> work);
    /// Short, and unique in this process's life.
    [[nodiscard]] std::string make_request_id();
    void count_fault(errc error);

    // constant after construction
    net::Reactor& reactor;
    Router& router;
    net::Admission& admission;
    const LocalBytesRef continue_bytes; // "100 Continue"
    const std::string id_prefix;
    // reactor's thread only
    Options options;
    bool draining = false;
    std::vector<H1Connection*> connections;
    std::vector<std::unique_ptr<Work>> spare_work;
    AnswerStart start;
    std::string scratch; // where answers are composed
    std::uint64_t ids_made = 0;
    Gauge& open;
    std::array<Counter*, static_cast<std::size_t>(errc::body_timeout) + 1> faults{};
};

} // namespace fanfare::http
