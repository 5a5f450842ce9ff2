#include <fanfare/base/assert.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <csignal>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct Death {
    int signal = 0;
    std::string said;
};

/// Breaks an assertion in a child, which is the only place where that can be watched.
Death die() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL); // Catch2 would report a failed test
        ::dup2(ends[1], STDERR_FILENO);
        const int subscribers = -1;
        FANFARE_ASSERT(subscribers >= 0);
        std::_Exit(0);
    }
    ::close(ends[1]);
    Death death;
    std::array<char, 512> buffer{};
    for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
        death.said.append(buffer.data(), static_cast<std::size_t>(n));
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) death.signal = WTERMSIG(status);
    return death;
}

} // namespace

TEST_CASE("assert: a true condition does nothing and is evaluated once", "[assert]") {
    int calls = 0;
    FANFARE_ASSERT(++calls == 1);
    CHECK(calls == 1);
}

TEST_CASE("assert: a broken one says what and where, then aborts", "[assert]") {
    const Death death = die();
    CHECK(death.signal == SIGABRT);
    CHECK_THAT(death.said, Catch::Contains("assertion_failed"));
    CHECK_THAT(death.said, Catch::Contains("subscribers >= 0"));
    CHECK_THAT(death.said, Catch::Contains("assert_test.cpp"));
}
