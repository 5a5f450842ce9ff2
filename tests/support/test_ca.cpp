#include "test_ca.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace fanfare::test {
namespace {

void must(bool holds, const char* what) {
    if (!holds) throw std::runtime_error(what);
}

void write_pem(const std::string& path, X509* certificate, EVP_PKEY* key) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    must(file != nullptr, "a PEM file cannot be written");
    if (certificate != nullptr) PEM_write_X509(file, certificate);
    if (key != nullptr) PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
}

void add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
    must(extension != nullptr, "an extension is not understood");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

X509* make_certificate(EVP_PKEY* key, const std::string& name, long serial, long seconds_left) {
    X509* const made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial);
    X509_gmtime_adj(X509_getm_notBefore(made), -86'400);
    X509_gmtime_adj(X509_getm_notAfter(made), seconds_left);
    X509_set_pubkey(made, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                               // NOLINTNEXTLINE: bytes
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    return made;
}

} // namespace

TestCa::TestCa() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fanfare-ca-XXXXXX").string();
    must(::mkdtemp(pattern.data()) != nullptr, "no directory for the test's certificates");
    directory_ = pattern;
    file_ = (directory_ / "ca.pem").string();
    key_ = EVP_EC_gen("P-256");
    certificate_ = make_certificate(key_, "Test CA " + pattern, 1, 86'400);
    X509_set_issuer_name(certificate_, X509_get_subject_name(certificate_));
    add_extension(certificate_, certificate_, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate_, certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
    must(X509_sign(certificate_, key_, EVP_sha256()) != 0, "the root cannot be signed");
    write_pem(file_, certificate_, nullptr);
}

TestCa::~TestCa() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

CertificateFiles TestCa::issue(const std::string& name, long seconds_left) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const made = make_certificate(key, name, 100 + issued_, seconds_left);
    X509_set_issuer_name(made, X509_get_subject_name(certificate_));
    const bool address = name.find_first_not_of("0123456789.") == std::string::npos;
    const std::string names = (address ? "IP:" : "DNS:") + name;
    add_extension(made, certificate_, NID_subject_alt_name, names.c_str());
    must(X509_sign(made, key_, EVP_sha256()) != 0, "a certificate cannot be signed");
    const std::string base = (directory_ / std::to_string(issued_++)).string();
    const CertificateFiles files{base + ".pem", base + ".key"};
    write_pem(files.certificate, made, nullptr);
    write_pem(files.key, nullptr, key);
    X509_free(made);
    EVP_PKEY_free(key);
    return files;
}

} // namespace fanfare::test
