// HTTP/2 from the server's side, on nghttp2: bytes in, bytes out, and every way to misbehave.
//
// The stream limit is ours. nghttp2 would end the connection when a client exceeds a limit that it
// acknowledged, where the real services reset the stream; so nghttp2 believes that there is none,
// and the value in our SETTINGS frames is written over on its way out.
#pragma once

#include "desk.hpp"
#include "protocol.hpp"

#include <deque>
#include <map>
#include <memory>

struct nghttp2_session;

namespace sim {

class H2Session final : public Protocol {
  public:
    H2Session(Carrier& carrier, Desk& desk, Peer& peer);
    ~H2Session() override;
    H2Session(const H2Session&) = delete;
    H2Session& operator=(const H2Session&) = delete;

    [[nodiscard]] bool receive(std::string_view bytes) override;
    void produce(std::string& out) override;
    [[nodiscard]] bool finished() const override;
    void on_due(std::int32_t what) override;
    void on_command(const Command& command) override;
    void abandon(std::string_view fate) override;

  private:
    friend struct H2Callbacks;

    static constexpr std::int32_t due_reversed = -1; // held answers go out
    static constexpr std::int32_t due_goaway = -2;   // the second GOAWAY of a graceful end

    void greet();
    void announce(std::uint32_t streams_max);
    void patch_settings(char* frame, std::size_t size);
    void begin_stream(std::int32_t id);
    void add_header(Exchange& exchange, std::string_view name, std::string_view value);
    void headers_complete(Exchange& exchange, bool last);
    void complete(Exchange& exchange);
    void drop();
    void hold(Exchange& exchange);
    void release_held();
    void submit(Exchange& exchange);
    void follow_limit(const Exchange& exchange);
    void close_stream(std::int32_t id, std::uint32_t error_code);
    void reset_stream(std::int32_t id, std::uint32_t error_code);
    void goaway(const Command& command);
    void send_goaway(std::int32_t last_stream, std::uint32_t error_code, std::string_view reason);
    void lower_open_streams(bool finish_open);
    [[nodiscard]] Exchange* find(std::int32_t id);
    [[nodiscard]] std::int32_t middle_stream() const;

    Carrier& carrier_;
    Desk& desk_;
    Peer& peer_;
    nghttp2_session* session_ = nullptr;
    std::map<std::int32_t, Exchange*> open_;   // in order of their ids; the exchanges are ours
    std::deque<std::uint32_t> limits_to_send_; // values for SETTINGS frames that nghttp2 queued
    std::deque<std::uint32_t> limits_to_ack_;
    std::uint32_t limit_ = 0; // announced last
    std::uint32_t limit_acked_ = 0xFFFFFFFF;
    std::deque<std::int32_t> held_; // answers waiting to go out in reverse
    std::int32_t goaway_last_ = -1; // streams above it were not processed
    bool proven_ = false;           // a request was accepted: the ramp is over
    bool ending_ = false;           // send what there is, then close
    bool broken_ = false;
    bool dropped_ = false; // the connection ends with this turn
};

} // namespace sim
