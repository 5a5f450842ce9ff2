// Keys and certificates that the configuration names. They are made here: a key in the tree would
// be found by every scanner of leaked keys.

#include "config.hpp"
#include "config_files.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <unistd.h>

namespace fanfare::app {
namespace {

using auth::Algorithm;

template <class Write>
std::string pem_of(Write write) {
    BIO* bio = BIO_new(BIO_s_mem());
    REQUIRE(write(bio) == 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string pem(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return pem;
}

struct Pair {
    std::shared_ptr<EVP_PKEY> key;

    [[nodiscard]] std::string public_pem() const {
        return pem_of([this](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key.get()); });
    }
    [[nodiscard]] std::string private_pem(const char* passphrase = nullptr) const {
        return pem_of([&](BIO* bio) {
            return PEM_write_bio_PKCS8PrivateKey(
                bio, key.get(), passphrase != nullptr ? EVP_aes_256_cbc() : nullptr, passphrase,
                passphrase != nullptr ? static_cast<int>(std::string_view{passphrase}.size()) : 0,
                nullptr, nullptr);
        });
    }
    [[nodiscard]] std::string certificate_pem() const {
        const std::shared_ptr<X509> certificate{X509_new(), X509_free};
        X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
        X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
        X509_set_pubkey(certificate.get(), key.get());
        REQUIRE(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
        return pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
    }
};
Pair make_rsa(unsigned bits) {
    return {{EVP_RSA_gen(bits), EVP_PKEY_free}};
}
Pair make_ec(const char* curve) {
    return {{EVP_EC_gen(curve), EVP_PKEY_free}};
}

/// Making RSA keys is slow: once for all tests.
const Pair& rsa() {
    static const Pair pair = make_rsa(2048);
    return pair;
}
const Pair& ec() {
    static const Pair pair = make_ec("P-256");
    return pair;
}

/// A directory of its own that goes with the test.
struct Directory {
    std::filesystem::path path;
    Directory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "fanfare-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~Directory() { std::filesystem::remove_all(path); }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;

    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream{path / name} << text;
        return (path / name).string();
    }
};

/// The refusal of a configuration file in that directory, without the directory; empty: none.
std::string refusal(const Directory& directory, const std::string& yaml,
                    const Environment& environment = {}) {
    const std::string file = directory.write("f.yaml", yaml);
    try {
        static_cast<void>(load_config(file, environment));
    } catch (const ConfigError& error) {
        std::string line = error.what();
        const std::string prefix = directory.path.string() + "/";
        for (std::size_t at = line.find(prefix); at != std::string::npos; at = line.find(prefix))
            line.erase(at, prefix.size());
        return line;
    }
    return "";
}

} // namespace

TEST_CASE("config files: public keys that RS256 and ES256 can use", "[config]") {
    CHECK(check_public_key(rsa().public_pem()).fault.empty());
    CHECK(check_public_key(rsa().public_pem()).type == KeyType::rsa);
    CHECK(check_public_key(ec().public_pem()).fault.empty());
    CHECK(check_public_key(ec().public_pem()).type == KeyType::ec_p256);
}

TEST_CASE("config files: public keys that nothing can use", "[config]") {
    CHECK(check_public_key(make_rsa(1024).public_pem()).fault ==
          "holds an RSA key of 1024 bits; 2048 is the least");
    CHECK(check_public_key(make_ec("P-384").public_pem()).fault ==
          "holds a key that is neither RSA nor EC P-256");
    CHECK(check_public_key(ec().private_pem()).fault.starts_with("holds a private key; "));
    CHECK(check_public_key(ec().certificate_pem()).fault.starts_with("holds a certificate; "));
    CHECK(check_public_key("").fault.starts_with("holds no PEM public key"));
    CHECK(check_public_key("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
              .fault.starts_with("holds no PEM public key"));
}

TEST_CASE("config files: private keys and certificates", "[config]") {
    CHECK(check_private_key(ec().private_pem()).type == KeyType::ec_p256);
    CHECK(check_private_key(rsa().private_pem()).type == KeyType::rsa);
    // Must not ask the terminal.
    CHECK(check_private_key(ec().private_pem("open sesame")).fault ==
          "needs a passphrase; give a key without one");
    CHECK_FALSE(check_private_key(ec().public_pem()).fault.empty());
    CHECK(certificate_fault(ec().certificate_pem()).empty());
    CHECK_FALSE(certificate_fault(ec().public_pem()).empty());
    CHECK(is_pair(ec().certificate_pem(), ec().private_pem()));
    CHECK_FALSE(is_pair(ec().certificate_pem(), rsa().private_pem()));
}

TEST_CASE("config files: a public key is found beside the configuration", "[config]") {
    const Directory directory;
    directory.write("pub.pem", ec().public_pem());
    const std::string file = directory.write("f.yaml", "auth: {jwt: {public_key: pub.pem}}");
    const Config config = load_config(file, {});
    CHECK(config.jwt.public_key_pem == ec().public_pem());
    CHECK(config.jwt.public_key_path == (directory.path / "pub.pem").string());
    CHECK(config.jwt.algorithms == std::vector{Algorithm::es256});

    // Another key under the same name is a change.
    directory.write("pub.pem", make_ec("P-256").public_pem());
    CHECK(changed_keys(config, load_config(file, {})) ==
          std::vector<std::string>{"auth.jwt.public_key"});

    // The environment's paths start from the working directory.
    CHECK(refusal(directory, "", {{"FANFARE_AUTH__JWT__PUBLIC_KEY", "pub.pem"}}) ==
          "environment FANFARE_AUTH__JWT__PUBLIC_KEY: auth.jwt.public_key: cannot read "
          "\"pub.pem\": No such file or directory");
    const std::string absolute = (directory.path / "pub.pem").string();
    CHECK(refusal(directory, "", {{"FANFARE_AUTH__JWT__PUBLIC_KEY", absolute}}).empty());
}

TEST_CASE("config files: algorithms and the public key must fit", "[config]") {
    const Directory directory;
    directory.write("rsa.pem", rsa().public_pem());
    directory.write("ec.pem", ec().public_pem());
    directory.write("short.pem", make_rsa(1024).public_pem());
    const auto jwt = [](const std::string& keys) { return "auth:\n  jwt: {" + keys + "}"; };

    CHECK(refusal(directory, jwt("algorithms: [RS256], public_key: rsa.pem")).empty());
    CHECK(refusal(directory, jwt("algorithms: [ES256], public_key: rsa.pem")) ==
          "f.yaml:2: auth.jwt.algorithms: ES256 does not fit auth.jwt.public_key, which is RSA; it "
          "needs an EC P-256 key");
    CHECK(refusal(directory, jwt("algorithms: [RS256], public_key: ec.pem")) ==
          "f.yaml:2: auth.jwt.algorithms: RS256 does not fit auth.jwt.public_key, which is EC "
          "P-256; it needs an RSA key from 2048 bits");
    CHECK(refusal(directory, jwt("public_key: short.pem"))
              .ends_with("holds an RSA key of 1024 bits; 2048 is the least"));

    const std::string secret(32, 's');
    const std::string file = directory.write(
        "f.yaml", jwt("algorithms: [HS256], secret: " + secret + ", public_key: rsa.pem"));
    const Config config = load_config(file, {});
    CHECK(std::any_of(config.warnings.begin(), config.warnings.end(), [](const std::string& one) {
        return one.ends_with("auth.jwt.public_key: is not used: no RS256 or ES256 in algorithms");
    }));
}

TEST_CASE("config files: complete sections of what is not built yet", "[config]") {
    const Directory directory;
    directory.write("cert.pem", ec().certificate_pem());
    directory.write("key.pem", ec().private_pem());
    directory.write("other.pem", rsa().private_pem());
    CHECK(refusal(directory, "server:\n  tls: {certificate: cert.pem, key: key.pem, client_ca: "
                             "cert.pem}") ==
          "f.yaml:2: server.tls: TLS is not built yet; end it in a proxy and remove this section");
    CHECK(refusal(directory, "server:\n  tls: {certificate: cert.pem, key: other.pem}") ==
          "f.yaml:2: server.tls.key: \"other.pem\" is not the key of server.tls.certificate "
          "(besides, server.tls is not built yet)");
    CHECK(refusal(directory, "server:\n  tls: {certificate: key.pem, key: key.pem}") ==
          "f.yaml:2: server.tls.certificate: \"key.pem\" holds no PEM certificate (-----BEGIN "
          "CERTIFICATE-----) (besides, server.tls is not built yet)");

    CHECK(refusal(directory, "push:\n  apns: {key: key.pem, key_id: ABCDE12345, team_id: "
                             "ABCDE12345, topic: com.example}") == "");
    CHECK(refusal(directory, "push:\n  webpush: {private_key: other.pem, subject: "
                             "\"mailto:a@example.com\"}") ==
          "f.yaml:2: push.webpush.private_key: \"other.pem\" holds a key that is not EC P-256");

    const auto apns = [](const std::string& files) {
        return "push:\n  apns: {topic: com.example, " + files + "}";
    };
    CHECK(refusal(directory, apns("certificate: cert.pem, certificate_key: key.pem")) == "");
    CHECK(refusal(directory, apns("certificate: cert.pem, certificate_key: other.pem")) ==
          "f.yaml:2: push.apns.certificate_key: \"other.pem\" is not the key of "
          "push.apns.certificate");
    CHECK(refusal(directory, apns("certificate: key.pem, certificate_key: key.pem")) ==
          "f.yaml:2: push.apns.certificate: \"key.pem\" holds no PEM certificate (-----BEGIN "
          "CERTIFICATE-----)");

    std::string key = rsa().private_pem();
    for (std::size_t at = key.find('\n'); at != std::string::npos; at = key.find('\n', at))
        key.replace(at, 1, "\\n");
    const std::string members = R"("project_id":"p","client_email":"e","token_uri":"https://t")";
    directory.write("sa.json", "{" + members + R"(,"private_key":")" + key + "\"}");
    CHECK(refusal(directory, "push:\n  fcm: {service_account: sa.json}") == "");
    directory.write("sa.json", "{" + members + "}");
    CHECK(refusal(directory, "push:\n  fcm: {service_account: sa.json}") ==
          "f.yaml:2: push.fcm.service_account: \"sa.json\" lacks \"private_key\"");
    directory.write("sa.json", "[]");
    CHECK(refusal(directory, "push:\n  fcm: {service_account: sa.json}") ==
          "f.yaml:2: push.fcm.service_account: \"sa.json\" is not a JSON object");
}

TEST_CASE("config files: apps have credentials of their own", "[config]") {
    const Directory directory;
    directory.write("key.pem", ec().private_pem());
    const std::string certificate = ec().certificate_pem();
    directory.write("cert.pem", certificate);
    const std::string apps =
        "push:\n"
        "  webpush: {subject: \"mailto:a@example.com\", private_key: key.pem, rate: 5}\n"
        "  rate: 100\n"
        "  user_rate: 0\n"
        "  apps:\n"
        "    - name: shop\n"
        "      apns: {key: key.pem, key_id: ABCDE12345, team_id: ABCDE12345, topic: a.b, rate: 7}\n"
        "    - name: old\n"
        "      apns: {certificate: cert.pem, certificate_key: key.pem, topic: a.c}\n";
    const Config config = load_config(directory.write("f.yaml", apps), {});
    REQUIRE(config.push_apps.size() == 2);
    CHECK(config.push_app.webpush.rate == 5);
    CHECK(config.push_app.apns.key_text.empty());
    CHECK(config.push_apps[0].name == "shop");
    CHECK(config.push_apps[0].apns.topic == "a.b");
    CHECK(config.push_apps[0].apns.rate == 7);
    CHECK(config.push_apps[0].apns.certificate_text.empty());
    CHECK(config.push_apps[1].apns.key_text == ec().private_pem());
    CHECK(config.push_apps[1].apns.certificate_text == certificate);
    CHECK(config.push.rate_per_second == 100);
    CHECK(config.push.user_rate_per_minute == 0);
    const delivery::PushReach& reach = config.inbox.pushes_to;
    CHECK(reach.serves(delivery::Platform::web, ""));
    CHECK(reach.serves(delivery::Platform::ios, "shop"));
    CHECK(reach.serves(delivery::Platform::ios, "old"));
    CHECK_FALSE(reach.serves(delivery::Platform::ios, ""));
    CHECK_FALSE(reach.serves(delivery::Platform::web, "shop"));
    // It is over in an hour.
    CHECK(std::any_of(config.warnings.begin(), config.warnings.end(), [](const std::string& one) {
        return one.ends_with("push.apps[1].apns.certificate: ends in 0 days");
    }));
    CHECK(refusal(directory, apps + "    - name: shop\n      apns: {certificate: cert.pem, "
                                    "certificate_key: key.pem, topic: a.d}\n") ==
          "f.yaml:10: push.apps[2].name: \"shop\" is the name of another app; each needs its own");
}

TEST_CASE("config files: nothing waits for a pipe without a writer", "[config]") {
    const Directory directory;
    const std::string pipe = (directory.path / "pipe").string();
    REQUIRE(std::system(("mkfifo " + pipe).c_str()) == 0); // NOLINT
    CHECK(refusal(directory, "auth: {jwt: {public_key: pipe}}") ==
          "f.yaml:1: auth.jwt.public_key: cannot read \"pipe\": not a plain file");
}

} // namespace fanfare::app
