#pragma once
// Certificates made while the test runs, as files in a directory that goes with it.

#include <filesystem>
#include <string>

struct evp_pkey_st;
struct x509_st;

namespace fanfare::test {

/// A certificate with its key, both PEM.
struct CertificateFiles {
    std::string certificate;
    std::string key;
};

class TestCa {
  public:
    TestCa();
    ~TestCa();
    TestCa(const TestCa&) = delete;
    TestCa& operator=(const TestCa&) = delete;

    /// The root's certificate.
    [[nodiscard]] const std::string& file() const { return file_; }
    /// A certificate for `name` (DNS name, or an IPv4 address) that is valid from a day before now
    /// until `seconds_left` from now; negative: expired.
    [[nodiscard]] CertificateFiles issue(const std::string& name, long seconds_left = 86'400);
    /// Where files of the test can be put.
    [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  private:
    std::filesystem::path directory_;
    std::string file_;
    evp_pkey_st* key_ = nullptr;
    x509_st* certificate_ = nullptr;
    int issued_ = 0;
};

} // namespace fanfare::test
