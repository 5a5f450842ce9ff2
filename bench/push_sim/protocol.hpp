// The contract between a connection's byte pipe and the HTTP version that it carries.
#pragma once

#include "exchange.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace sim {

/// What the control API does to open connections.
struct Command {
    enum class Kind : std::uint8_t {
        settings, // the desk's settings changed: announce what peers are told
        goaway,
        reset_streams, // every open stream, with error_code
        drop,          // TCP reset
        freeze,        // half-open: neither read nor write any more
    };
    enum class Goaway : std::uint8_t {
        plain,
        empty, // no debug data
        twice,
        middle,   // last id in the middle of the unanswered streams
        graceful, // 2^31-1 first, the real id 50 ms later
        close,    // followed at once by the end of the connection
    };

    Kind kind = Kind::settings;
    Goaway goaway = Goaway::plain;
    std::string reason = "Shutdown";
    std::uint32_t error_code = 0;
    std::int32_t last_stream = -1; // negative: what the variant says
    bool finish_open = true;       // settings: streams above a lower limit are answered, not reset
    std::uint64_t connection = 0;  // only this one; 0: all of the service
};

/// What a protocol asks of its connection.
class Carrier {
  public:
    virtual ~Carrier() = default;
    /// Calls on_due(`what`) later.
    virtual void schedule(Duration after, std::int32_t what) = 0;
    /// Ends the connection with a TCP reset when this turn is over.
    virtual void drop() = 0;
};

class Protocol {
  public:
    virtual ~Protocol() = default;

    /// Takes what came. False: nothing good can follow; what produce() gives is still sent.
    [[nodiscard]] virtual bool receive(std::string_view bytes) = 0;
    /// Appends what is to be sent, in a piece that suits one write; nothing: nothing is.
    virtual void produce(std::string& out) = 0;
    /// Nothing is to come in either direction.
    [[nodiscard]] virtual bool finished() const = 0;
    virtual void on_due(std::int32_t what) = 0;
    virtual void on_command(const Command& command) = 0;
    /// The connection is gone: accounts for requests without an answer.
    virtual void abandon(std::string_view fate) = 0;
};

} // namespace sim
