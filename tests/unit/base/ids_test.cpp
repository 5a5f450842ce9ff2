#include <fanfare/base/ids.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace fanfare;

TEST_CASE("ids: random bytes fill exactly what was asked for", "[ids]") {
    // Sizes below, at and above the buffer's share, and a refill on the way.
    for (const std::size_t size : {0U, 1U, 8U, 127U, 128U, 129U, 512U, 5'000U}) {
        CAPTURE(size);
        std::string bytes(size + 2, 'x');
        random_bytes(bytes.data() + 1, size);
        CHECK(bytes.front() == 'x');
        CHECK(bytes.back() == 'x');
        if (size >= 8) CHECK(bytes.substr(1, size) != std::string(size, 'x'));
    }
}

TEST_CASE("ids: random numbers do not repeat and use all bits", "[ids]") {
    std::set<std::uint64_t> seen;
    std::array<int, 64> ones{};
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t value = random_u64();
        seen.insert(value);
        for (std::size_t bit = 0; bit < 64; ++bit) ones[bit] += static_cast<int>(value >> bit & 1);
    }
    CHECK(seen.size() == 10'000);
    for (const int count : ones) { // 5,000 expected, standard deviation 50
        CHECK(count > 4'600);
        CHECK(count < 5'400);
    }
}

TEST_CASE("ids: random text is base64url of the length asked for", "[ids]") {
    const std::string text = random_text(10'000);
    CHECK(text.size() == 10'000);
    CHECK(random_text(0).empty());
    CHECK(std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
    }));
    CHECK(std::set<char>(text.begin(), text.end()).size() == 64);
}

TEST_CASE("ids: fresh epochs differ, between threads too", "[ids]") {
    std::vector<std::vector<std::string>> made(4);
    std::vector<std::thread> threads;
    for (auto& mine : made)
        threads.emplace_back([&mine] {
            for (int i = 0; i < 2'000; ++i) mine.emplace_back(Epoch::fresh().text());
        });
    for (auto& thread : threads) thread.join();
    std::set<std::string> all;
    for (const auto& mine : made) all.insert(mine.begin(), mine.end());
    CHECK(all.size() == 8'000);
}

TEST_CASE("ids: a forked child does not repeat its parent's ids", "[ids]") {
    static_cast<void>(random_u64()); // the buffer is filled and not used up
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const std::uint64_t value = random_u64();
        ::_exit(::write(ends[1], &value, sizeof value) == sizeof value ? 0 : 1);
    }
    std::uint64_t theirs = 0;
    CHECK(::read(ends[0], &theirs, sizeof theirs) == sizeof theirs);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(theirs != random_u64());
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("ids: an epoch reads back as itself", "[ids]") {
    const Epoch epoch = Epoch::fresh();
    CHECK_FALSE(epoch.none());
    CHECK(epoch.text().size() == 8);
    CHECK(Epoch::parse(epoch.text()) == epoch);
    CHECK(Epoch::parse("AZaz09-_").text() == "AZaz09-_");
}

TEST_CASE("ids: a text that is no epoch equals none", "[ids]") {
    const std::string_view text =
        GENERATE(as<std::string_view>{}, "", "AZaz09-", "AZaz09-_x", "AZaz09+/", "AZaz09 _",
                 "AZaz0\xc3\xa9", std::string_view{"AZaz09\0_", 8});
    CAPTURE(text);
    CHECK(Epoch::parse(text).none());
    CHECK(Epoch::parse(text) == Epoch{});
    CHECK(Epoch::parse(text).text().empty());
}

TEST_CASE("ids: positions are equal in both parts", "[ids]") {
    const Epoch epoch = Epoch::fresh();
    CHECK(Position{epoch, 3} == Position{epoch, 3});
    CHECK_FALSE(Position{epoch, 3} == Position{epoch, 4});
    CHECK_FALSE(Position{epoch, 3} == Position{Epoch::fresh(), 3});
}
