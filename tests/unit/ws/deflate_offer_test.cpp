#include "deflate_offer.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace fanfare::ws;

namespace {
const std::string base =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
} // namespace

TEST_CASE("deflate offer: what is agreed", "[ws][rfc7692-7.1]") {
    struct Case {
        const char* offers;
        const char* added; // to the usual answer
        bool send;
    };
    const auto c = GENERATE(values<Case>({
        {"permessage-deflate", "", true},
        {"permessage-deflate; client_max_window_bits", "", true},
        {"permessage-deflate; client_max_window_bits=8", "", true},
        {"permessage-deflate; client_max_window_bits=15", "", true},
        {"permessage-deflate;client_max_window_bits", "", true},
        {"permessage-deflate ;\tclient_max_window_bits = \"10\" ", "", true},
        {"permessage-deflate; server_no_context_takeover", "", true},
        {"permessage-deflate; client_no_context_takeover", "", true},
        {"permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15", true},
        {"permessage-deflate; server_max_window_bits=\"15\"", "; server_max_window_bits=15", true},
        {"permessage-deflate; server_max_window_bits=\"1\\5\"", "; server_max_window_bits=15",
         true},
        // Accepted, but our frames need the whole window: we send plain.
        {"permessage-deflate; server_max_window_bits=14", "; server_max_window_bits=14", false},
        {"permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9", false},
        {"permessage-deflate; server_max_window_bits=8", "; server_max_window_bits=8", false},
        {"permessage-deflate; server_max_window_bits=\"10\"", "; server_max_window_bits=10", false},
        // Others are skipped, also with parameters and quoted commas.
        {"x-webkit-deflate-frame, permessage-deflate", "", true},
        {"foo; a=\"b,permessage-deflate;\\\"c\"; d, permessage-deflate", "", true},
        {"permessage-bzip2; client_max_compress_level=9, permessage-deflate", "", true},
        {" , ,permessage-deflate", "", true},
        {"permessage-deflate,", "", true},
        // First acceptable wins.
        {"permessage-deflate; server_max_window_bits=10, permessage-deflate",
         "; server_max_window_bits=10", false},
        {"permessage-deflate; server_max_window_bits=16, permessage-deflate", "", true},
        {"permessage-deflate; unknown, permessage-deflate; client_max_window_bits", "", true},
        {"permessage-deflate; server_max_window_bits=, permessage-deflate", "", true},
        {"permessage-deflate x, permessage-deflate", "", true},
        // Autobahn 13.7
        {"permessage-deflate; server_no_context_takeover; server_max_window_bits=9, "
         "permessage-deflate; server_no_context_takeover, "
         "permessage-deflate; server_max_window_bits=0",
         "; server_max_window_bits=9", false},
    }));
    CAPTURE(c.offers);
    const DeflateAgreement agreement = negotiate_deflate(c.offers);
    CHECK(agreement.agreed);
    CHECK(agreement.send == c.send);
    CHECK(agreement.response == base + c.added);
}

TEST_CASE("deflate offer: what is declined", "[ws][rfc7692-7.1]") {
    const auto* const offers = GENERATE(
        "", " ", ",", "foo", "permessage-deflatex", "x-permessage-deflate", "deflate",
        "\"permessage-deflate\"", "permessage-deflate=1", "permessage-deflate; unknown",
        "permessage-deflate; unknown=1", "permessage-deflate;", "permessage-deflate;;",
        "permessage-deflate; ; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=true",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=0",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=100",
        "permessage-deflate; server_max_window_bits=-9",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=9.0",
        "permessage-deflate; server_max_window_bits=0x9",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits x",
        "permessage-deflate client_max_window_bits");
    CAPTURE(offers);
    const DeflateAgreement agreement = negotiate_deflate(offers);
    CHECK_FALSE(agreement.agreed);
    CHECK_FALSE(agreement.send);
    CHECK(agreement.response.empty());
    // A bad element does not spoil a good one behind it, unless a quote swallows it.
    if (std::string_view{offers} != "permessage-deflate; server_max_window_bits=\"10")
        CHECK(negotiate_deflate(std::string{offers} + ", permessage-deflate").response == base);
}
