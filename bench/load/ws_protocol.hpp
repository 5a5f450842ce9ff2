// The WebSocket protocol `fanfare.json.v1` of one subscriber to one room (protocol.md §2).
#pragma once

#include "http_response.hpp"
#include "inflater.hpp"
#include "protocol.hpp"
#include "room.hpp"
#include "ws_frame.hpp"

#include <memory>
#include <string>

namespace load {

class WsProtocol final : public Protocol {
  public:
    /// `all`: rooms to subscribe to beside `room`, which may be among them, before the client
    /// counts as live; nothing is expected to come from them. May be null.
    /// `shared` inflates for all connections whose server keeps no context.
    WsProtocol(const ProtocolSettings& settings, const Room& room, const Rooms* all,
               Inflater& shared, std::uint64_t seed);

    [[nodiscard]] std::string open(const Position* resume) override;
    [[nodiscard]] std::size_t read(std::string_view in, ProtocolEvents& events) override;
    [[nodiscard]] std::string_view cursor() const override { return {}; }
    [[nodiscard]] std::string goodbye() override;

  private:
    enum class Stage {
        handshake, // waits for the 101
        welcome,   // waits for the first frame
        subscribe, // waits for the answer to `subscribe`
        further,   // waits for the answers of all other rooms
        live,
        done, // refused, closed or broken: nothing more is read
    };

    [[nodiscard]] std::size_t read_handshake(std::string_view in, ProtocolEvents& events);
    void on_frame(const Frame& frame, ProtocolEvents& events);
    void on_data_frame(const Frame& frame, ProtocolEvents& events);
    void on_close(std::string_view payload, ProtocolEvents& events);
    void on_compressed(std::string_view payload, ProtocolEvents& events);
    void on_text(std::string_view json, ProtocolEvents& events);
    void on_message(std::string_view json, ProtocolEvents& events);
    void on_reply(std::string_view json, ProtocolEvents& events);
    void on_further_reply(std::string_view json, ProtocolEvents& events);
    void subscribe_to_all(ProtocolEvents& events);
    void refuse(std::string reason, ProtocolEvents& events);
    void fail(const char* fault, ProtocolEvents& events);
    [[nodiscard]] std::uint32_t next_mask();

    // constant after construction
    const ProtocolSettings& settings_;
    const Room& room_;
    const Rooms* const all_rooms_;
    Inflater& shared_inflater_;

    // of the present connection
    Stage stage_ = Stage::done;
    bool deflate_ = false;
    bool context_takeover_ = false;
    bool in_message_ = false; // a fragmented message is being assembled
    bool message_compressed_ = false;
    bool close_sent_ = false;
    std::uint64_t random_;
    std::string key_;
    std::string since_;            // the `since` member of the subscribe request, or empty
    std::size_t further_left_ = 0; // answers that Stage::further waits for
    Position start_;               // of room_, for when they are in
    std::string message_;
    Ending bye_; // what a `bye` announced, for the close that follows
    std::unique_ptr<Inflater> inflater_;
};

} // namespace load
