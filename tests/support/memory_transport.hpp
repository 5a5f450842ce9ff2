#pragma once
// A byte pipe without a kernel: the test holds the far end, feeds input, sees what was written, and
// lets the n-th write fail.

#include <fanfare/net/transport.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace fanfare::test {

/// The far end, shared with the transport: either may go first.
struct MemoryPipe {
    // what the peer does
    std::string input;              // sent by the peer, not read yet
    bool input_end = false;         // FIN behind `input`
    bool reset = false;             // every read and write fails from now on
    std::size_t read_max = 1 << 20; // bytes that one read gives at most
    std::size_t room = std::numeric_limits<std::size_t>::max(); // bytes that writes may still take
    int fail_write_at = 0;                                      // the n-th write fails; 0: none
    bool loopback = true;

    // what our side did
    std::string output;
    bool output_end = false; // shutdown_send or close
    bool closed = false;
    bool destroyed = false;
    bool established = false;
    bool wants_readable = true;
    bool wants_writable = false;
    int writes = 0; // calls that took bytes or failed
    net::TransportHandler* handler = nullptr;

    /// Tells the handler all there is to read, as level-triggered readiness would.
    void deliver() {
        while (!closed && !destroyed && handler != nullptr &&
               (reset || (wants_readable && (!input.empty() || input_end)))) {
            const std::size_t before = input.size();
            handler->on_readable();
            if (input.size() == before && before != 0) return; // it does not want to read
            if (before == 0) return;                           // the end was told
        }
    }
    /// The kernel takes `bytes` more.
    void drain(std::size_t bytes = std::numeric_limits<std::size_t>::max()) {
        room = bytes;
        if (wants_writable && !closed && !destroyed) handler->on_writable();
    }
    [[nodiscard]] std::string take_output() { return std::exchange(output, {}); }
};

class MemoryTransport final : public net::Transport {
  public:
    explicit MemoryTransport(std::shared_ptr<MemoryPipe> pipe)
        : owned_(std::move(pipe)), pipe_(*owned_) {}
    ~MemoryTransport() override { pipe_.destroyed = pipe_.output_end = true; }

    void set_handler(net::TransportHandler& handler) override { pipe_.handler = &handler; }

    Result<std::size_t> read(std::span<std::byte> to) override {
        if (pipe_.reset) return error_code{boost::asio::error::connection_reset};
        if (pipe_.input.empty()) {
            if (pipe_.input_end) return std::size_t{0};
            return error_code{boost::asio::error::would_block};
        }
        const std::size_t n = std::min({to.size(), pipe_.input.size(), pipe_.read_max});
        std::copy_n(pipe_.input.data(), n, reinterpret_cast<char*>(to.data())); // NOLINT
        pipe_.input.erase(0, n);
        return n;
    }

    Result<std::size_t> write(std::span<const iovec> pieces) override {
        if (pipe_.room == 0) return error_code{boost::asio::error::would_block};
        if (++pipe_.writes == pipe_.fail_write_at || pipe_.reset || pipe_.output_end)
            return error_code{boost::asio::error::broken_pipe};
        std::size_t taken = 0;
        for (const iovec& piece : pieces) {
            const std::size_t n = std::min(piece.iov_len, pipe_.room);
            pipe_.output.append(static_cast<const char*>(piece.iov_base), n);
            pipe_.room -= n;
            taken += n;
        }
        return taken;
    }

    void want_readable(bool on) override { pipe_.wants_readable = on; }
    void want_writable(bool on) override { pipe_.wants_writable = on; }
    void set_established() override { pipe_.established = true; }
    void shutdown_send() override { pipe_.output_end = true; }
    void close() override { pipe_.closed = pipe_.output_end = true; }
    [[nodiscard]] std::string peer() const override { return "192.0.2.1"; }
    [[nodiscard]] bool peer_is_loopback() const override { return pipe_.loopback; }

  private:
    std::shared_ptr<MemoryPipe> owned_;
    MemoryPipe& pipe_;
};

} // namespace fanfare::test
