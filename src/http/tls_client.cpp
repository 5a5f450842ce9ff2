#include "tls_client.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <new>
#include <stdexcept>

namespace fanfare::http {
namespace {

constexpr std::size_t record_bytes_max = std::size_t{16} * 1024;

std::string last_error() {
    const unsigned long code = ERR_peek_last_error();
    const char* const reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
    return reason != nullptr ? reason : "unknown error";
}

[[noreturn]] void refuse_file(ssl_ctx_st* context, const std::string& file, const char* what) {
    const std::string message = file + ": " + what + ": " + last_error();
    ERR_clear_error();
    SSL_CTX_free(context);
    throw std::runtime_error(message);
}

struct BioFree {
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
std::unique_ptr<BIO, BioFree> bio_of(const std::string& text) {
    return std::unique_ptr<BIO, BioFree>{
        BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

/// Nobody is there to be asked.
int no_passphrase(char* /*to*/, int /*size*/, int /*writing*/, void* /*user*/) {
    return -1;
}

bool is_address(const std::string& host) {
    in6_addr any{};
    return ::inet_pton(AF_INET, host.c_str(), &any) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

} // namespace

/// OpenSSL's byte pipe: reads from `input_`, writes to `output_`.
struct TlsClient::Bio {
    static TlsClient& self(BIO* bio) { return *static_cast<TlsClient*>(BIO_get_data(bio)); }

    static int read(BIO* bio, char* to, int size) {
        BIO_clear_retry_flags(bio);
        std::span<const std::byte>& input = self(bio).input_;
        if (input.empty()) {
            BIO_set_retry_read(bio);
            return -1;
        }
        const std::size_t bytes = std::min(input.size(), static_cast<std::size_t>(size));
        std::memcpy(to, input.data(), bytes);
        input = input.subspan(bytes);
        return static_cast<int>(bytes);
    }

    static int write(BIO* bio, const char* from, int size) {
        BIO_clear_retry_flags(bio);
        self(bio).output_.append({from, static_cast<std::size_t>(size)});
        return size;
    }

    static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    static const BIO_METHOD* method() {
        static const BIO_METHOD* const made = [] {
            BIO_METHOD* const fresh =
                BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "fanfare");
            if (fresh == nullptr) throw std::bad_alloc{};
            BIO_meth_set_read(fresh, read);
            BIO_meth_set_write(fresh, write);
            BIO_meth_set_ctrl(fresh, control);
            return fresh;
        }();
        return made;
    }

    /// A session that can be resumed came; the newest one is kept.
    static int on_session(SSL* ssl, SSL_SESSION* session) {
        auto& newest = *static_cast<SSL_SESSION**>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0));
        SSL_SESSION_free(newest);
        newest = session;
        return 1; // its reference is ours
    }
};

TlsContext::TlsContext(const Files& files) : context_(SSL_CTX_new(TLS_client_method())) {
    if (context_ == nullptr) throw std::bad_alloc{};
    SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
    SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    constexpr std::array<unsigned char, 3> h2{2, 'h', '2'};
    SSL_CTX_set_alpn_protos(context_, h2.data(), h2.size());
    SSL_CTX_sess_set_new_cb(context_, TlsClient::Bio::on_session);
    SSL_CTX_set_session_cache_mode(context_,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_set_ex_data(context_, 0, &session_); // see TlsClient::Bio::on_session
    if (files.ca_file.empty())
        SSL_CTX_set_default_verify_paths(context_);
    else if (SSL_CTX_load_verify_file(context_, files.ca_file.c_str()) != 1)
        refuse_file(context_, files.ca_file, "no certificates can be read from it");
    if (!files.certificate.empty())
        use_texts(files);
    else if (!files.certificate_file.empty())
        use_files(files);
    // A system without a bundle leaves an error behind, which the next user would take for its own.
    ERR_clear_error();
}

void TlsContext::use_files(const Files& files) {
    if (SSL_CTX_use_certificate_chain_file(context_, files.certificate_file.c_str()) != 1)
        refuse_file(context_, files.certificate_file, "no certificate can be read from it");
    const std::string& key = files.key_file.empty() ? files.certificate_file : files.key_file;
    if (SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM) != 1)
        refuse_file(context_, key, "no key for the certificate can be read from it");
}

void TlsContext::use_texts(const Files& files) {
    const auto chain = bio_of(files.certificate);
    X509* const first = PEM_read_bio_X509(chain.get(), nullptr, no_passphrase, nullptr);
    const bool used = first != nullptr && SSL_CTX_use_certificate(context_, first) == 1;
    X509_free(first);
    if (!used) refuse_file(context_, "certificate", "no certificate can be read from it");
    while (X509* const next = PEM_read_bio_X509(chain.get(), nullptr, no_passphrase, nullptr))
        SSL_CTX_ctrl(context_, SSL_CTRL_EXTRA_CHAIN_CERT, 0, next); // it owns it now
    ERR_clear_error();
    EVP_PKEY* const key =
        PEM_read_bio_PrivateKey(bio_of(files.key).get(), nullptr, no_passphrase, nullptr);
    const bool fits = key != nullptr && SSL_CTX_use_PrivateKey(context_, key) == 1;
    EVP_PKEY_free(key);
    if (!fits) refuse_file(context_, "certificate_key", "no key for the certificate can be read");
}

TlsContext::~TlsContext() {
    SSL_SESSION_free(session_);
    SSL_CTX_free(context_);
}

TlsClient::TlsClient(TlsContext& context, const std::string& host)
    : ssl_(SSL_new(context.context_)) {
    BIO* const bio = BIO_new(Bio::method());
    if (ssl_ == nullptr || bio == nullptr) throw std::bad_alloc{};
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio);
    SSL_set_connect_state(ssl_);
    if (is_address(host)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str());
    } else {
        // The macro of it casts in C's way.
        SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(host.c_str())); // NOLINT: only read
        SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set1_host(ssl_, host.c_str());
    }
    if (context.session_ != nullptr) SSL_set_session(ssl_, context.session_);
}

TlsClient::~TlsClient() {
    // Without this OpenSSL forbids to resume the session: peers often go without a goodbye.
    if (ready_ && error_.empty()) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
}

bool TlsClient::fail(const char* what, int result) {
    // X509_verify_cert_error_string is plain text, e.g. "certificate has expired".
    const long verdict = SSL_get_verify_result(ssl_);
    if (!ready_ && verdict != X509_V_OK)
        error_ = std::string{"certificate refused: "} + X509_verify_cert_error_string(verdict);
    else if (result == SSL_ERROR_SSL)
        error_ = std::string{what} + ": " + last_error();
    else
        error_ = what;
    ERR_clear_error();
    return false;
}

bool TlsClient::handshake() {
    const int done = SSL_do_handshake(ssl_);
    if (done != 1) {
        const int why = SSL_get_error(ssl_, done);
        if (why == SSL_ERROR_WANT_READ) return true;
        return fail("TLS handshake failed", why);
    }
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &size);
    if (size != 2 || std::memcmp(protocol, "h2", 2) != 0) {
        error_ = "the server does not offer HTTP/2 (ALPN)";
        return false;
    }
    ready_ = true;
    return true;
}

bool TlsClient::receive(std::span<const std::byte> records, Sink& sink) {
    input_ = records;
    ERR_clear_error();
    if (!ready_ && (!handshake() || !ready_)) return error_.empty();
    std::array<std::byte, record_bytes_max> plain; // NOLINT: filled by OpenSSL
    for (;;) {
        std::size_t bytes = 0;
        const int done = SSL_read_ex(ssl_, plain.data(), plain.size(), &bytes);
        if (done == 1) {
            if (!sink.on_plain({plain.data(), bytes})) return true;
            continue;
        }
        const int why = SSL_get_error(ssl_, done);
        if (why == SSL_ERROR_WANT_READ) return true;
        if (why == SSL_ERROR_ZERO_RETURN) {
            ended_ = true;
            return true;
        }
        return fail("TLS failed", why);
    }
}

bool TlsClient::send(std::string_view plain) {
    if (plain.empty()) return true;
    ERR_clear_error();
    std::size_t written = 0; // all of it: the pipe takes everything
    const int done = SSL_write_ex(ssl_, plain.data(), plain.size(), &written);
    return done == 1 || fail("TLS failed", SSL_get_error(ssl_, done));
}

void TlsClient::shutdown() {
    if (ready_ && error_.empty()) SSL_shutdown(ssl_);
    ERR_clear_error();
}

bool TlsClient::resumed() const noexcept {
    return SSL_session_reused(ssl_) == 1;
}

} // namespace fanfare::http
