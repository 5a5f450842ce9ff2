#include "p256.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

#include <array>

namespace fanfare::providers {
namespace {

using ParamBuildPtr = std::unique_ptr<OSSL_PARAM_BLD, OpensslFree<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, OpensslFree<OSSL_PARAM_free>>;

/// Has the curve and no key: what new keys take their parameters from, which is ten times cheaper
/// than to name the curve each time.
const EVP_PKEY* curve_alone() {
    static const PkeyPtr alone = [] {
        const PkeyCtxPtr context{EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)};
        EVP_PKEY* made = nullptr;
        FANFARE_ASSERT(context && EVP_PKEY_paramgen_init(context.get()) == 1 &&
                       EVP_PKEY_CTX_set_group_name(context.get(), SN_X9_62_prime256v1) == 1 &&
                       EVP_PKEY_paramgen(context.get(), &made) == 1);
        return PkeyPtr{made};
    }();
    return alone.get();
}

std::string public_of(const BIGNUM* scalar) {
    const GroupPtr group{EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)};
    FANFARE_ASSERT(group != nullptr);
    const PointPtr point{EC_POINT_new(group.get())};
    std::string bytes(p256_point_bytes, '\0');
    FANFARE_ASSERT(
        point && EC_POINT_mul(group.get(), point.get(), scalar, nullptr, nullptr, nullptr) == 1 &&
        EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED,
                           as_uchar(bytes.data()), bytes.size(), nullptr) == bytes.size());
    return bytes;
}

bool is_in_range(const BIGNUM* scalar) {
    const GroupPtr group{EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)};
    FANFARE_ASSERT(group != nullptr);
    return BN_is_zero(scalar) == 0 && BN_cmp(scalar, EC_GROUP_get0_order(group.get())) < 0;
}

} // namespace

PkeyPtr p256_public_key(std::string_view point) {
    if (point.size() != p256_point_bytes || point.front() != '\x04') return nullptr;
    PkeyPtr key{EVP_PKEY_new()};
    FANFARE_ASSERT(key && EVP_PKEY_copy_parameters(key.get(), curve_alone()) == 1);
    if (EVP_PKEY_set1_encoded_public_key(key.get(), as_uchar(point.data()), point.size()) == 1)
        return key;
    ERR_clear_error(); // what stays in OpenSSL's queue would be taken for an error of a TLS socket
    return nullptr;
}

PkeyPtr p256_private_key(std::string_view scalar) {
    if (scalar.size() != p256_scalar_bytes) return nullptr;
    const BnPtr number{
        BN_bin2bn(as_uchar(scalar.data()), static_cast<int>(scalar.size()), nullptr)};
    FANFARE_ASSERT(number != nullptr);
    if (!is_in_range(number.get())) return nullptr;
    BN_set_flags(number.get(), BN_FLG_CONSTTIME);
    const std::string point = public_of(number.get());

    const ParamBuildPtr build{OSSL_PARAM_BLD_new()};
    FANFARE_ASSERT(build &&
                   OSSL_PARAM_BLD_push_utf8_string(build.get(), OSSL_PKEY_PARAM_GROUP_NAME,
                                                   SN_X9_62_prime256v1, 0) == 1 &&
                   OSSL_PARAM_BLD_push_octet_string(build.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                                    point.data(), point.size()) == 1 &&
                   OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get()) ==
                       1);
    const ParamsPtr params{OSSL_PARAM_BLD_to_param(build.get())};
    const PkeyCtxPtr context{EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)};
    EVP_PKEY* made = nullptr;
    FANFARE_ASSERT(params && context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
                   EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, params.get()) == 1);
    return PkeyPtr{made};
}

std::string p256_point(const EVP_PKEY& key) {
    std::string point(p256_point_bytes, '\0');
    std::size_t size = 0;
    if (EVP_PKEY_get_octet_string_param(&key, OSSL_PKEY_PARAM_PUB_KEY, as_uchar(point.data()),
                                        point.size(), &size) == 1 &&
        size == point.size() && point.front() == '\x04')
        return point;
    // In another form if the key's file had that: by its coordinates then.
    point[0] = '\x04';
    constexpr std::array<const char*, 2> names{OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y};
    for (std::size_t i = 0; i < names.size(); ++i) {
        BIGNUM* raw = nullptr;
        const bool got = EVP_PKEY_get_bn_param(&key, names[i], &raw) == 1;
        const BnPtr number{raw};
        FANFARE_ASSERT(
            got && BN_bn2binpad(number.get(), as_uchar(point.data() + 1 + i * p256_scalar_bytes),
                                p256_scalar_bytes) == static_cast<int>(p256_scalar_bytes));
    }
    return point;
}

} // namespace fanfare::providers
