#include <fanfare/base/shared_bytes.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace fanfare;

// The address sanitizer is half of these tests: a count that is off by one leaks or is used after
// its end.

TEST_CASE("shared_bytes: allocated bytes are the caller's to fill", "[shared_bytes]") {
    const auto bytes = SharedBytes::allocate(5);
    REQUIRE(bytes->size() == 5);
    std::memcpy(bytes->data(), "hello", 5);
    const SharedBytesRef shared = bytes;
    CHECK(shared->view() == "hello");
    CHECK(shared->data() == bytes->data());
}

TEST_CASE("shared_bytes: a copy is a copy", "[shared_bytes]") {
    std::string source = "news";
    const auto shared = SharedBytes::copy_of(source);
    const auto local = LocalBytes::copy_of(source);
    source = "xxxx";
    CHECK(shared->view() == "news");
    CHECK(local->view() == "news");
    CHECK(local->size() == 4);
}

TEST_CASE("shared_bytes: nothing is a valid content", "[shared_bytes]") {
    CHECK(SharedBytes::copy_of({})->view().empty());
    CHECK(SharedBytes::allocate(0)->view().empty());
    CHECK(LocalBytes::copy_of({})->view().empty());
    CHECK(LocalBytes::show(SharedBytes::copy_of({}))->view().empty());
}

TEST_CASE("shared_bytes: a local view keeps the bytes alive, without a copy", "[shared_bytes]") {
    SharedBytesRef shared = SharedBytes::copy_of("payload");
    const char* const where = shared->data();
    LocalBytesRef local = LocalBytes::show(shared);
    shared.reset();
    const LocalBytesRef queued = local;
    local.reset();
    CHECK(queued->data() == where);
    CHECK(queued->view() == "payload");
}

TEST_CASE("shared_bytes: reactors share and let go in any order", "[shared_bytes][threads]") {
    for (int round = 0; round < 200; ++round) {
        SharedBytesRef shared = SharedBytes::copy_of("one message for all");
        std::vector<std::thread> reactors;
        for (int i = 0; i < 4; ++i)
            reactors.emplace_back([mine = shared]() mutable {
                const LocalBytesRef local = LocalBytes::show(std::move(mine));
                std::vector<LocalBytesRef> queues(10, local);
                while (!queues.empty()) {
                    if (queues.back()->view() != "one message for all") std::abort();
                    queues.pop_back();
                }
            });
        shared.reset();
        for (auto& reactor : reactors) reactor.join();
    }
}
