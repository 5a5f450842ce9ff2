#include "config_files.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace fanfare::app {
namespace {

template <auto Free>
struct Freer {
    template <class T>
    void operator()(T* pointer) const noexcept {
        Free(pointer);
    }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;

Bio open_text(const std::string& text) {
    return Bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

/// OpenSSL would ask the terminal otherwise.
int no_passphrase(char*, int, int, void*) {
    return -1;
}

Key read_public(const std::string& pem) {
    const Bio bio = open_text(pem);
    Key key{PEM_read_bio_PUBKEY(bio.get(), nullptr, no_passphrase, nullptr)};
    ERR_clear_error(); // the queue is the thread's: what is left in it would confuse the next user
    return key;
}
Key read_private(const std::string& pem) {
    const Bio bio = open_text(pem);
    Key key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)};
    ERR_clear_error();
    return key;
}
Certificate read_certificate(const std::string& pem) {
    const Bio bio = open_text(pem);
    Certificate certificate{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)};
    ERR_clear_error();
    return certificate;
}

bool is_p256(EVP_PKEY* key) {
    std::array<char, 64> group{};
    std::size_t length = 0;
    return EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) == 1 &&
           (std::string_view{group.data(), length} == SN_X9_62_prime256v1 ||
            std::string_view{group.data(), length} == "P-256");
}

KeyType type_of(EVP_PKEY* key) {
    if (EVP_PKEY_is_a(key, "RSA") == 1) return KeyType::rsa;
    if (EVP_PKEY_is_a(key, "EC") == 1 && is_p256(key)) return KeyType::ec_p256;
    return KeyType::none;
}

bool has(const std::string& pem, std::string_view words) {
    return pem.find(words) != std::string::npos;
}

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }

  private:
    const int fd_;
};

error_code system_error(int number) {
    return {number, boost::system::generic_category()};
}

} // namespace

Result<std::string> read_file(const std::string& path, bool pipe_allowed) {
    // Not blocking, or opening a FIFO would wait for a writer before its kind is known.
    const int flags = O_RDONLY | O_CLOEXEC | (pipe_allowed ? 0 : O_NONBLOCK);
    const Descriptor file{::open(path.c_str(), flags)};
    if (file.get() < 0) return system_error(errno);
    struct stat about {};
    if (::fstat(file.get(), &about) != 0) return system_error(errno);
    if (S_ISDIR(about.st_mode)) return system_error(EISDIR);
    if (!pipe_allowed && !S_ISREG(about.st_mode)) return system_error(EINVAL);
    std::string text;
    std::array<char, 16'384> piece;
    for (;;) {
        const ssize_t got = ::read(file.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_error(errno);
        if (got == 0) return text;
        text.append(piece.data(), static_cast<std::size_t>(got));
        if (text.size() > file_bytes_max) return system_error(EFBIG);
    }
}

KeyCheck check_public_key(const std::string& pem) {
    const Key key = read_public(pem);
    if (!key) {
        if (has(pem, "PRIVATE KEY-----"))
            return {KeyType::none, "holds a private key; `openssl pkey -in FILE -pubout` makes the "
                                   "public one that belongs here"};
        if (has(pem, "-----BEGIN CERTIFICATE-----"))
            return {KeyType::none, "holds a certificate; `openssl x509 -in FILE -pubkey -noout` "
                                   "makes the public key that belongs here"};
        return {KeyType::none, "holds no PEM public key (-----BEGIN PUBLIC KEY-----)"};
    }
    const KeyType type = type_of(key.get());
    if (type == KeyType::none) return {type, "holds a key that is neither RSA nor EC P-256"};
    const int bits = EVP_PKEY_get_bits(key.get());
    if (type == KeyType::rsa && bits < 2048)
        return {type, fmt::format("holds an RSA key of {} bits; 2048 is the least", bits)};
    return {type, ""};
}

KeyCheck check_private_key(const std::string& pem) {
    const Key key = read_private(pem);
    if (key) return {type_of(key.get()), ""};
    if (has(pem, "ENCRYPTED")) return {KeyType::none, "needs a passphrase; give a key without one"};
    return {KeyType::none, "holds no PEM private key (-----BEGIN PRIVATE KEY-----)"};
}

std::string certificate_fault(const std::string& pem) {
    if (read_certificate(pem)) return "";
    return "holds no PEM certificate (-----BEGIN CERTIFICATE-----)";
}

int certificate_days_left(const std::string& pem) {
    const Certificate certificate = read_certificate(pem);
    int days = 0;
    int seconds = 0;
    ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get()));
    return seconds < 0 ? days - 1 : days;
}

bool is_pair(const std::string& certificate_pem, const std::string& key_pem) {
    const Certificate certificate = read_certificate(certificate_pem);
    const Key key = read_private(key_pem);
    const bool fits =
        certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
    ERR_clear_error();
    return fits;
}

} // namespace fanfare::app
