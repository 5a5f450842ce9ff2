// HTTP/1.1 from the server's side (RFC 9112): one request after the other, keep-alive, bodies with
// a length or in chunks. For FCM, OAuth and Web Push, and for the control API.
#pragma once

#include "desk.hpp"
#include "protocol.hpp"

#include <memory>
#include <string>

namespace sim {

class H1Session final : public Protocol {
  public:
    H1Session(Carrier& carrier, Desk& desk, Peer& peer);

    [[nodiscard]] bool receive(std::string_view bytes) override;
    void produce(std::string& out) override;
    [[nodiscard]] bool finished() const override { return ending_; }
    void on_due(std::int32_t what) override;
    void on_command(const Command& command) override;
    void abandon(std::string_view fate) override;

  private:
    enum class State : std::uint8_t {
        head,    // the request line and the fields are coming
        body,    // remaining_ bytes of the body or the chunk
        chunk,   // a chunk's size line
        trailer, // lines behind the last chunk
        judged,  // the answer is due
    };

    [[nodiscard]] bool advance();
    [[nodiscard]] bool read_head();
    [[nodiscard]] bool read_fields(std::string_view lines);
    [[nodiscard]] bool read_body();
    [[nodiscard]] bool read_line_of_chunks();
    void complete();
    void answer();
    void refuse(int status, std::string_view text);

    Carrier& carrier_;
    Desk& desk_;
    Peer& peer_;
    std::unique_ptr<Exchange> exchange_;
    State state_ = State::head;
    bool chunked_ = false;
    bool close_ = false; // the client wants no further request
    bool ending_ = false;
    std::size_t remaining_ = 0;
    std::int32_t requests_ = 0; // numbers the requests as HTTP/2 numbers streams
    std::string in_;
    std::string out_;
};

} // namespace sim
