#include "tls.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <stdexcept>

namespace sim {
namespace {

constexpr long day_s = 24L * 3600;
constexpr const char* names =
    "DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1,DNS:*.push.apple.com,DNS:*.sandbox.push.apple."
    "com,"
    "DNS:fcm.googleapis.com,DNS:iid.googleapis.com,DNS:oauth2.googleapis.com,"
    "DNS:updates.push.services.mozilla.com,DNS:push-sim,DNS:*.push-sim.test";

struct Signed {
    X509* certificate;
    EVP_PKEY* key;
};

void add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    if (extension == nullptr) throw std::runtime_error("OpenSSL refuses a certificate extension");
    ::X509_add_ext(certificate, extension, -1);
    ::X509_EXTENSION_free(extension);
}

/// `issuer` null: signs itself, as an authority.
Signed make(const char* common_name, const char* alternatives, long from_s, long until_s,
            const Signed* issuer) {
    Signed made{::X509_new(), ::EVP_EC_gen("P-256")};
    static long serial = static_cast<long>(wall_ms());
    ::X509_set_version(made.certificate, X509_VERSION_3);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(made.certificate), ++serial);
    ::X509_gmtime_adj(::X509_getm_notBefore(made.certificate), from_s);
    ::X509_gmtime_adj(::X509_getm_notAfter(made.certificate), until_s);
    ::X509_set_pubkey(made.certificate, made.key);
    X509_NAME* subject = ::X509_get_subject_name(made.certificate);
    ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
    X509* signer = issuer == nullptr ? made.certificate : issuer->certificate;
    ::X509_set_issuer_name(made.certificate, ::X509_get_subject_name(signer));
    if (issuer == nullptr) {
        add_extension(made.certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(made.certificate, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        add_extension(made.certificate, signer, NID_basic_constraints, "critical,CA:FALSE");
        add_extension(made.certificate, signer, NID_subject_alt_name, alternatives);
        add_extension(made.certificate, signer, NID_ext_key_usage, "serverAuth");
    }
    add_extension(made.certificate, signer, NID_subject_key_identifier, "hash");
    add_extension(made.certificate, signer, NID_authority_key_identifier, "keyid");
    EVP_PKEY* key = issuer == nullptr ? made.key : issuer->key;
    if (::X509_sign(made.certificate, key, ::EVP_sha256()) == 0) {
        throw std::runtime_error("OpenSSL does not sign the test certificate");
    }
    return made;
}

void write_pem(const std::string& path, X509* certificate) {
    // A reader that waits for the file sees all of it or nothing.
    const std::string unfinished = path + ".new";
    std::FILE* out = std::fopen(unfinished.c_str(), "w");
    if (out == nullptr) throw std::invalid_argument(unfinished + ": cannot be written");
    const bool ok = ::PEM_write_X509(out, certificate) == 1;
    if (std::fclose(out) != 0 || !ok) throw std::runtime_error(unfinished + ": writing failed");
    std::filesystem::rename(unfinished, path);
}

int choose_protocol(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned in_size, void* /*unused*/) {
    const auto* choice = static_cast<const AlpnChoice*>(SSL_get_app_data(ssl));
    if (!choice->http2 && !choice->http1) return SSL_TLSEXT_ERR_NOACK;
    static constexpr unsigned char both[] = "\x02h2\x08http/1.1";
    const unsigned char* ours = choice->http2 ? both : both + 3;
    const unsigned size = (choice->http2 ? 3U : 0U) + (choice->http1 ? 9U : 0U);
    unsigned char* chosen = nullptr;
    if (::SSL_select_next_proto(&chosen, out_size, ours, size, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX* make_context(const Signed& server) {
    SSL_CTX* context = ::SSL_CTX_new(::TLS_server_method());
    if (context == nullptr) throw std::runtime_error("OpenSSL gives no TLS context");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    static constexpr unsigned char session_context[] = "fanfare-push-sim";
    ::SSL_CTX_set_session_id_context(context, session_context, sizeof session_context - 1);
    ::SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    if (::SSL_CTX_use_certificate(context, server.certificate) != 1 ||
        ::SSL_CTX_use_PrivateKey(context, server.key) != 1) {
        throw std::runtime_error("OpenSSL refuses the test certificate");
    }
    return context;
}

bool has_extension(X509* certificate, const char* oid) {
    ASN1_OBJECT* object = ::OBJ_txt2obj(oid, 1);
    const bool has = ::X509_get_ext_by_OBJ(certificate, object, -1) >= 0;
    ::ASN1_OBJECT_free(object);
    return has;
}

} // namespace

Tls::Tls(const std::string& directory, const std::string& client_ca) {
    std::filesystem::create_directories(directory);
    const Signed authority =
        make("Fanfare push simulator CA", nullptr, -day_s, 365 * day_s, nullptr);
    const std::array<Signed, kinds> servers{
        make("push-sim", names, -day_s, 90 * day_s, &authority),
        make("push-sim", names, -30 * day_s, -day_s, &authority),
        make("elsewhere", "DNS:elsewhere.invalid", -day_s, 90 * day_s, &authority)};
    for (std::size_t kind = 0; kind < kinds; ++kind) {
        contexts_[kind] = make_context(servers[kind]);
        if (client_ca.empty()) continue;
        with_client_ca_[kind] = make_context(servers[kind]);
        if (::SSL_CTX_load_verify_file(with_client_ca_[kind], client_ca.c_str()) != 1) {
            throw std::invalid_argument(client_ca + ": no PEM certificate of an authority");
        }
        ::SSL_CTX_set_verify(with_client_ca_[kind],
                             SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    write_pem(directory + "/ca.pem", authority.certificate);
    for (const Signed& made : {authority, servers[0], servers[1], servers[2]}) {
        ::X509_free(made.certificate);
        ::EVP_PKEY_free(made.key);
    }
}

Tls::~Tls() {
    for (SSL_CTX* context : contexts_) ::SSL_CTX_free(context);
    for (SSL_CTX* context : with_client_ca_) ::SSL_CTX_free(context);
}

SSL* Tls::open(ServiceId service, Handshake handshake, AlpnChoice& choice) const {
    const Kind kind = handshake == Handshake::expired      ? expired
                      : handshake == Handshake::wrong_name ? wrong_name
                                                           : good;
    const bool demands = service == ServiceId::apns && with_client_ca_[kind] != nullptr;
    SSL* ssl = ::SSL_new(demands ? with_client_ca_[kind] : contexts_[kind]);
    if (ssl == nullptr) return nullptr;
    SSL_set_app_data(ssl, &choice);
    ::SSL_set_accept_state(ssl);
    return ssl;
}

ClientCertificate client_certificate(SSL* ssl) {
    ClientCertificate found;
    X509* certificate = ::SSL_get1_peer_certificate(ssl);
    if (certificate == nullptr) return found;
    std::array<char, 256> uid{};
    const int size = ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate), NID_userId,
                                                 uid.data(), static_cast<int>(uid.size()));
    if (size > 0) found.topic.assign(uid.data(), static_cast<std::size_t>(size));
    found.development = has_extension(certificate, "1.2.840.113635.100.6.3.1");
    found.production = has_extension(certificate, "1.2.840.113635.100.6.3.2");
    ::X509_free(certificate);
    return found;
}

} // namespace sim
