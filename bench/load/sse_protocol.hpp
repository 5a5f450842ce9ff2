// Server-Sent Events of one subscriber to one room (protocol.md §3, WHATWG HTML "server-sent
// events"). Lines end in LF or CRLF; a lone CR, which the standard allows too, is not understood.
#pragma once

#include "http_response.hpp"
#include "protocol.hpp"
#include "room.hpp"

#include <string>

namespace load {

class SseProtocol final : public Protocol {
  public:
    SseProtocol(const ProtocolSettings& settings, const Room& room);

    [[nodiscard]] std::string open(const Position* resume) override;
    [[nodiscard]] std::size_t read(std::string_view in, ProtocolEvents& events) override;
    [[nodiscard]] std::string_view cursor() const override { return cursor_; }
    [[nodiscard]] std::string goodbye() override { return {}; }

  private:
    enum class Stage {
        head,  // waits for the response head
        ready, // waits for the event `ready`
        live,
        done,
    };
    /// One event while its lines are read; views into the input.
    struct Block {
        std::string_view id;
        bool has_id = false;
        std::string_view event;
        std::string_view data;
        std::string joined_data; // when there are several data lines
        int data_lines = 0;
    };

    [[nodiscard]] std::size_t read_head(std::string_view in, ProtocolEvents& events);
    void on_text(std::string_view text, ProtocolEvents& events);
    [[nodiscard]] std::size_t read_blocks(std::string_view text, ProtocolEvents& events);
    void read_line(std::string_view line, Block& block, ProtocolEvents& events);
    void dispatch(const Block& block, ProtocolEvents& events);
    void on_ready(const Block& block, ProtocolEvents& events);
    void on_message(const Block& block, ProtocolEvents& events);
    void end(std::string code, ProtocolEvents& events);

    // constant after construction
    const ProtocolSettings& settings_;
    const Room& room_;

    std::string cursor_; // survives the connection, as an EventSource's last event ID does

    // of the present connection
    Stage stage_ = Stage::done;
    BodyReader body_;
    std::string text_; // the beginning of an event that is not complete
    Ending bye_;       // what `retry:` and `bye` announced
};

} // namespace load
