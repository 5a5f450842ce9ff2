#pragma once
// TLS towards a server, without I/O: records in and out of memory, so that what one turn gathered
// leaves in one write, however many records it is, and one read may bring many.

#include "out_bytes.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;

namespace fanfare::http {

/// What all connections of a pool have in common.
class TlsContext {
  public:
    struct Files {
        std::string ca_file;          // empty: those of the system
        std::string certificate_file; // empty: no client certificate
        std::string key_file;         // empty: in certificate_file
        std::string certificate;      // as texts instead
        std::string key;
    };
    /// Throws std::runtime_error that names the file, or the text, which cannot be used.
    explicit TlsContext(const Files& files);
    ~TlsContext();
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;

  private:
    friend class TlsClient;
    void use_files(const Files& files);
    void use_texts(const Files& files);
    ssl_ctx_st* context_;
    ssl_session_st* session_ = nullptr; // the newest ticket, for the next connection
};

class TlsClient {
  public:
    class Sink {
      public:
        /// Decrypted bytes. False: no more of them, please.
        virtual bool on_plain(std::span<const std::byte> bytes) = 0;

      protected:
        ~Sink() = default;
    };
    /// `host`: the name (or address) that the certificate must be for; a name is sent as SNI.
    TlsClient(TlsContext& context, const std::string& host);
    ~TlsClient();
    TlsClient(const TlsClient&) = delete;
    TlsClient& operator=(const TlsClient&) = delete;

    /// Bytes from the peer; empty at the start of the handshake. False: failed, see `error`.
    [[nodiscard]] bool receive(std::span<const std::byte> records, Sink& sink);
    /// After the handshake. False: failed, see `error`.
    [[nodiscard]] bool send(std::string_view plain);
    /// Says goodbye, as far as that is possible.
    void shutdown();
    /// What waits to be sent; whoever sends it consumes it.
    [[nodiscard]] OutBytes& output() noexcept { return output_; }
    /// The handshake is done, the peer is who it should be and speaks HTTP/2.
    [[nodiscard]] bool ready() const noexcept { return ready_; }
    [[nodiscard]] bool resumed() const noexcept;
    /// The peer said goodbye.
    [[nodiscard]] bool ended() const noexcept { return ended_; }
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

  private:
    friend class TlsContext;
    struct Bio;
    friend struct Bio;
    [[nodiscard]] bool handshake();
    [[nodiscard]] bool fail(const char* what, int result);

    ssl_st* ssl_;
    std::span<const std::byte> input_; // during `receive`
    OutBytes output_;
    std::string error_;
    bool ready_ = false;
    bool ended_ = false;
};

} // namespace fanfare::http
