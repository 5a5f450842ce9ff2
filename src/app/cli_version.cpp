#include "cli.hpp"

#include <boost/version.hpp>
#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <simdjson.h>

#include <ostream>

namespace fanfare::app {
namespace {

std::string compiler() {
#if defined(__clang__)
    return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::string build_type() {
    std::string type;
#if defined(__OPTIMIZE__)
    type = "optimised";
#else
    type = "debug";
#endif
#if defined(__SANITIZE_ADDRESS__)
    type += ", AddressSanitizer";
#endif
#if defined(__SANITIZE_THREAD__)
    type += ", ThreadSanitizer";
#endif
    return type;
}

} // namespace

int run_version(Terminal& terminal) {
    terminal.out << fmt::format("fanfare {}\n", FANFARE_VERSION)
                 << fmt::format("build: {}, {}\n", build_type(), compiler())
                 << fmt::format("boost: {}.{}.{}\n", BOOST_VERSION / 100000,
                                BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100)
                 << fmt::format("openssl: {}\n", OpenSSL_version(OPENSSL_VERSION_STRING))
                 << fmt::format("simdjson: {}.{}.{}\n", int{simdjson::SIMDJSON_VERSION_MAJOR},
                                int{simdjson::SIMDJSON_VERSION_MINOR},
                                int{simdjson::SIMDJSON_VERSION_REVISION})
                 << fmt::format("fmt: {}.{}.{}\n", FMT_VERSION / 10000, FMT_VERSION / 100 % 100,
                                FMT_VERSION % 100)
                 << fmt::format("libcurl: {}\n", curl_version_info(CURLVERSION_NOW)->version);
    return exit_ok;
}

} // namespace fanfare::app
