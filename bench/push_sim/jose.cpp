#include "jose.hpp"

#include "text.hpp"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <simdjson.h>

#include <cstdio>
#include <stdexcept>

namespace sim {
namespace {

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

std::string text_member(const simdjson::dom::object& object, std::string_view name) {
    std::string_view value;
    return object[name].get(value) == simdjson::SUCCESS ? std::string{value} : std::string{};
}

std::optional<double> number_member(const simdjson::dom::object& object, std::string_view name) {
    double value = 0;
    if (object[name].get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
}

/// One part of the token, decoded and parsed; false if it is no object.
bool parse_part(simdjson::dom::parser& parser, std::string_view part,
                simdjson::dom::object& object) {
    const auto json = from_base64url(part);
    return json && parser.parse(*json).get(object) == simdjson::SUCCESS;
}

bool verify(EVP_PKEY* key, std::string_view message, std::string_view signature) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&::EVP_MD_CTX_free)> context{::EVP_MD_CTX_new(),
                                                                            &::EVP_MD_CTX_free};
    return ::EVP_DigestVerifyInit(context.get(), nullptr, ::EVP_sha256(), nullptr, key) == 1 &&
           ::EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(),
                              bytes_of(message), message.size()) == 1;
}

/// The DER form that OpenSSL wants, of R then S; empty if R or S is out of shape.
std::string to_der(std::string_view raw) {
    ECDSA_SIG* signature = ::ECDSA_SIG_new();
    BIGNUM* r = ::BN_bin2bn(bytes_of(raw), 32, nullptr);
    BIGNUM* s = ::BN_bin2bn(bytes_of(raw.substr(32)), 32, nullptr);
    ::ECDSA_SIG_set0(signature, r, s); // takes r and s
    unsigned char* der = nullptr;
    const int size = ::i2d_ECDSA_SIG(signature, &der);
    std::string out;
    if (size > 0) out.assign(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
    ::OPENSSL_free(der);
    ::ECDSA_SIG_free(signature);
    return out;
}

} // namespace

std::optional<Jwt> parse_jwt(std::string_view text) {
    constexpr std::size_t size_max = 8192;
    const std::size_t first = text.find('.');
    const std::size_t second = first == text.npos ? text.npos : text.find('.', first + 1);
    if (second == text.npos || text.find('.', second + 1) != text.npos || text.size() > size_max) {
        return std::nullopt;
    }
    simdjson::dom::parser header_parser;
    simdjson::dom::parser payload_parser;
    simdjson::dom::object header;
    simdjson::dom::object payload;
    auto signature = from_base64url(text.substr(second + 1));
    if (!signature || !parse_part(header_parser, text.substr(0, first), header) ||
        !parse_part(payload_parser, text.substr(first + 1, second - first - 1), payload)) {
        return std::nullopt;
    }
    simdjson::dom::element any;
    return Jwt{.alg = text_member(header, "alg"),
               .kid = text_member(header, "kid"),
               .iss = text_member(payload, "iss"),
               .aud = text_member(payload, "aud"),
               .sub = text_member(payload, "sub"),
               .scope = text_member(payload, "scope"),
               .iat = number_member(payload, "iat"),
               .exp = number_member(payload, "exp"),
               .iat_present = payload["iat"].get(any) == simdjson::SUCCESS,
               .signed_part = std::string{text.substr(0, second)},
               .signature = std::move(*signature)};
}

PublicKey::PublicKey(EVP_PKEY* key) : key_(key, &::EVP_PKEY_free) {}

PublicKey PublicKey::from_pem(const std::string& file) {
    std::FILE* in = std::fopen(file.c_str(), "r");
    if (in == nullptr) throw std::invalid_argument(file + ": cannot be read");
    EVP_PKEY* key = ::PEM_read_PUBKEY(in, nullptr, nullptr, nullptr);
    std::fclose(in);
    if (key == nullptr) {
        throw std::invalid_argument(file + ": no PEM public key (openssl pkey -pubout makes one)");
    }
    return PublicKey{key};
}

std::optional<PublicKey> PublicKey::from_point(std::string_view point) {
    if (point.size() != 65 || point.front() != '\x04') return std::nullopt;
    std::string group = "prime256v1";
    std::string copy{point};
    const OSSL_PARAM parameters[] = {
        ::OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
        ::OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.data(), copy.size()),
        ::OSSL_PARAM_construct_end()};
    EVP_PKEY* key = nullptr;
    EVP_PKEY_CTX* context = ::EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr);
    const bool ok = ::EVP_PKEY_fromdata_init(context) == 1 &&
                    ::EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY,
                                        const_cast<OSSL_PARAM*>(parameters)) == 1;
    ::EVP_PKEY_CTX_free(context);
    if (!ok) return std::nullopt;
    return PublicKey{key};
}

bool PublicKey::verify_es256(const Jwt& token) const {
    if (token.alg != "ES256" || token.signature.size() != 64) return false;
    return verify(key_.get(), token.signed_part, to_der(token.signature));
}

bool PublicKey::verify_rs256(const Jwt& token) const {
    return token.alg == "RS256" && ::EVP_PKEY_get_base_id(key_.get()) == EVP_PKEY_RSA &&
           verify(key_.get(), token.signed_part, token.signature);
}

} // namespace sim
