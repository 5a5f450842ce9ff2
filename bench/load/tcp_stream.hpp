// One non-blocking TCP connection. It reads into the buffer that all share and keeps only what its
// handler could not use yet, so that an idle client costs no buffer.
#pragma once

#include "network.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace load {

/// Whoever speaks over a TcpStream. It may call close() and send() from any of these.
class StreamHandler {
  public:
    virtual ~StreamHandler() = default;
    virtual void on_connected() = 0;

    /// Bytes in order. Returns how many were used up; the rest is shown again, with more behind it.
    /// The view is valid during the call.
    virtual std::size_t on_bytes(std::string_view bytes) = 0;

    /// The connection could not be made or is over, and is closed already. `error` is an errno
    /// value, 0 when the peer ended it in an orderly way. Not called after close().
    virtual void on_ended(int error) = 0;
};

class TcpStream final : public Pollable {
  public:
    TcpStream(Network& network, StreamHandler& handler) : network_(network), handler_(handler) {}
    ~TcpStream() override { close(); }
    TcpStream(const TcpStream&) = delete;
    TcpStream& operator=(const TcpStream&) = delete;

    /// Starts to connect. `receive_buffer`: SO_RCVBUF in bytes, 0: the kernel's choice.
    /// Returns 0 or the errno of what cannot even be tried; then nothing is called back.
    [[nodiscard]] int connect(int receive_buffer);

    /// Sends, or keeps what the kernel does not take now. A dead socket shows when it is read.
    void send(std::string_view bytes);

    /// While paused nothing is read and the peer's bytes pile up on its side.
    void pause(bool paused);

    void close();
    [[nodiscard]] bool is_open() const { return fd_ >= 0; }

    void on_events(std::uint32_t events) override;

  private:
    void on_connect_result();
    void flush();
    void read();
    /// recv(), and when the last of the bytes arrived.
    [[nodiscard]] ssize_t receive(char* buffer, std::size_t size);
    void end(int error);
    void update_interest();

    Network& network_;
    StreamHandler& handler_;
    int fd_ = -1;
    bool connecting_ = false;
    bool paused_ = false;
    std::uint32_t interest_ = 0;
    std::string unread_; // received, not used up by the handler
    std::string unsent_;
};

} // namespace load
