#pragma once
// OpenSSL's objects with owners.

#include <fanfare/base/assert.hpp>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

namespace fanfare::providers {

template <auto Free>
struct OpensslFree {
    template <class T>
    void operator()(T* pointer) const noexcept {
        Free(pointer);
    }
};
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free>>;
using BnPtr = std::unique_ptr<BIGNUM, OpensslFree<BN_clear_free>>;
using CipherPtr = std::unique_ptr<EVP_CIPHER, OpensslFree<EVP_CIPHER_free>>;
using CipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, OpensslFree<EVP_CIPHER_CTX_free>>;
using EcdsaSigPtr = std::unique_ptr<ECDSA_SIG, OpensslFree<ECDSA_SIG_free>>;
using GroupPtr = std::unique_ptr<EC_GROUP, OpensslFree<EC_GROUP_free>>;
using MacPtr = std::unique_ptr<EVP_MAC, OpensslFree<EVP_MAC_free>>;
using MacCtxPtr = std::unique_ptr<EVP_MAC_CTX, OpensslFree<EVP_MAC_CTX_free>>;
using MdCtxPtr = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using PkeyCtxPtr = std::unique_ptr<EVP_PKEY_CTX, OpensslFree<EVP_PKEY_CTX_free>>;
using PointPtr = std::unique_ptr<EC_POINT, OpensslFree<EC_POINT_clear_free>>;

inline const unsigned char* as_uchar(const char* text) {
    // NOLINTNEXTLINE: OpenSSL speaks unsigned char.
    return reinterpret_cast<const unsigned char*>(text);
}
inline unsigned char* as_uchar(char* text) {
    // NOLINTNEXTLINE: OpenSSL speaks unsigned char.
    return reinterpret_cast<unsigned char*>(text);
}

/// Forgets a text at the end of its scope.
class Cleanse {
  public:
    explicit Cleanse(std::string& text) : text_(text) {}
    ~Cleanse() { OPENSSL_cleanse(text_.data(), text_.size()); }
    Cleanse(const Cleanse&) = delete;
    Cleanse& operator=(const Cleanse&) = delete;

  private:
    std::string& text_;
};

} // namespace fanfare::providers
