#include "h1_fault.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <string>

using namespace fanfare::http;

TEST_CASE("h1 fault: each has a name of its own, a status and a sentence", "[http]") {
    std::set<std::string> names;
    std::set<std::string> bodies;
    const int last = static_cast<int>(errc::body_timeout);
    for (int i = 1; i <= last; ++i) {
        const auto error = static_cast<errc>(i);
        names.emplace(fault_name(error));
        const Response response = fault_response({error, {}});
        bodies.insert(response.body);
        CHECK(response.status == fault_status(error));
        CHECK(response.status >= 400);
        CHECK(reason_phrase(response.status) != "Unknown");
        CHECK(response.close);
    }
    CHECK(names.size() == static_cast<std::size_t>(last));
    CHECK(bodies.size() == static_cast<std::size_t>(last));
}

TEST_CASE("h1 fault: the place is part of the detail", "[http]") {
    const Response response = fault_response({errc::duplicate_host, "line 3, header \"Host\""});
    CHECK(response.body.find(R"((line 3, header \"Host\"))") != std::string::npos);
}
