#include "log_line.hpp"

#include <fanfare/base/log.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace fanfare;

namespace {

/// What goes to stderr while this lives, kept in a file of its own.
class Capture {
  public:
    Capture() : saved_(::dup(STDERR_FILENO)), file_(std::tmpfile()) {
        log::flush(); // lines of an earlier test
        ::dup2(::fileno(file_), STDERR_FILENO);
    }
    ~Capture() {
        log::flush();
        ::dup2(saved_, STDERR_FILENO);
        ::close(saved_);
        std::fclose(file_);
        log::configure({.level = log::Level::warn, .format = log::Format::text});
    }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    std::string text() const {
        log::flush();
        std::string out;
        std::array<char, 4096> buffer{};
        for (ssize_t n = 0; (n = ::pread(::fileno(file_), buffer.data(), buffer.size(),
                                         static_cast<off_t>(out.size()))) > 0;)
            out.append(buffer.data(), static_cast<std::size_t>(n));
        return out;
    }

  private:
    int saved_;
    std::FILE* file_;
};

/// What a test case says on stderr in a process of its own, where nothing has been configured yet.
std::string said_by_child(const std::string& test_case) {
    std::array<char, 4096> buffer{};
    const ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
    REQUIRE(size > 0);
    const std::string program{buffer.data(), static_cast<std::size_t>(size)};
    const std::string command = "'" + program + "' '" + test_case + "' 2>&1 >/dev/null";
    std::FILE* const child = ::popen(command.c_str(), "r");
    REQUIRE(child != nullptr);
    std::string said;
    for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), child)) > 0;)
        said.append(buffer.data(), n);
    CHECK(::pclose(child) == 0);
    return said;
}

} // namespace

TEST_CASE("log child: unconfigured", "[.child]") {
    log::debug("hidden");
    log::info("early", {{"n", 1}});
    log::flush();
}

TEST_CASE("log child: exits without a flush", "[.child]") {
    log::configure({});
    for (int i = 0; i < 1'000; ++i) log::info("late", {{"n", i}});
}

TEST_CASE("log: works before it is configured, as text", "[log]") {
    const std::string said = said_by_child("log child: unconfigured");
    CHECK_THAT(said, Catch::EndsWith("Z INFO  early n=1\n"));
    CHECK(std::ranges::count(said, '\n') == 1);
}

TEST_CASE("log: what is queued at the end of the process is written", "[log]") {
    const std::string said = said_by_child("log child: exits without a flush");
    CHECK_THAT(said, Catch::EndsWith("\"event\":\"late\",\"n\":999}\n"));
    CHECK(std::ranges::count(said, '\n') == 1'000);
}

TEST_CASE("log: lines of the level and above come out, in the format", "[log]") {
    const Capture capture;
    log::configure({.level = log::Level::warn, .format = log::Format::json});
    log::debug("one");
    log::info("two");
    log::warn("three", {{"n", 3}});
    log::error("four");
    const std::string json = capture.text();
    CHECK_THAT(json, !Catch::Contains("one") && !Catch::Contains("two"));
    CHECK_THAT(json, Catch::Contains("\"level\":\"warn\",\"event\":\"three\",\"n\":3}\n"));
    CHECK_THAT(json, Catch::Contains("\"level\":\"error\",\"event\":\"four\"}\n"));

    // A reload.
    log::configure({.level = log::Level::debug, .format = log::Format::text});
    log::debug("five", {{"room", "a b"}});
    CHECK_THAT(capture.text(), Catch::EndsWith("Z DEBUG five room=\"a b\"\n"));
}

TEST_CASE("log: enabled says what would come out", "[log]") {
    const Capture capture;
    log::configure({.level = log::Level::info});
    CHECK_FALSE(log::enabled(log::Level::debug));
    CHECK(log::enabled(log::Level::info));
    CHECK(log::enabled(log::Level::error));
    log::configure({.level = log::Level::off});
    CHECK_FALSE(log::enabled(log::Level::error));
    CHECK_FALSE(log::enabled(log::Level::off));
    log::error("nothing");
    CHECK(capture.text().empty());
}

TEST_CASE("log: the last words do not wait for the queue", "[log]") {
    const Capture capture;
    log::write_now(log::Level::error, "last", {{"n", 1}});
    CHECK_THAT(capture.text(), Catch::EndsWith("ERROR last n=1\n"));
}

TEST_CASE("log: lines of many threads are whole, and written or counted as dropped",
          "[log][threads]") {
    const Capture capture;
    log::configure({.level = log::Level::info, .format = log::Format::text});
    const std::uint64_t dropped_before = log::dropped();
    constexpr int threads_count = 4;
    constexpr int lines_each = 2'000;
    std::vector<std::thread> threads;
    for (int i = 0; i < threads_count; ++i)
        threads.emplace_back([] {
            for (int n = 0; n < lines_each; ++n) log::info("burst", {{"pad", "0123456789"}});
        });
    // A reload in the middle of it.
    log::configure({.level = log::Level::info, .format = log::Format::text});
    for (auto& thread : threads) thread.join();
    const std::string text = capture.text();
    std::size_t lines = 0;
    for (std::size_t at = 0; at < text.size(); ++lines) {
        const std::size_t end = text.find('\n', at);
        REQUIRE(end != std::string::npos);
        REQUIRE(
            std::string_view{text}.substr(at, end - at).ends_with(" INFO  burst pad=0123456789"));
        at = end + 1;
    }
    CHECK(lines + (log::dropped() - dropped_before) == threads_count * lines_each);
}

TEST_CASE("log: a reader that stalls costs the oldest lines, never the caller", "[log]") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    ::fcntl(ends[0], F_SETPIPE_SZ, 4096);
    log::configure({.level = log::Level::info, .format = log::Format::text});
    log::flush();
    const int saved = ::dup(STDERR_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    const std::uint64_t dropped_before = log::dropped();
    constexpr int lines = 12'000; // the pipe and the queue hold fewer
    log::info("line", {{"n", 0}});
    // The writer has begun; how far it gets before the pipe is full is the machine's affair.
    pollfd first{ends[0], POLLIN, 0};
    REQUIRE(::poll(&first, 1, 20'000) == 1);
    for (int i = 1; i < lines; ++i) log::info("line", {{"n", i}});
    const std::uint64_t dropped = log::dropped() - dropped_before;
    CHECK(dropped > 0);

    std::string text;
    std::thread reader([&] {
        std::array<char, 4096> buffer{};
        for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
            text.append(buffer.data(), static_cast<std::size_t>(n));
    });
    log::flush();
    ::dup2(saved, STDERR_FILENO);
    ::close(saved);
    ::close(ends[1]);
    reader.join();
    ::close(ends[0]);
    // The first one was in the pipe, the newest survived, some between are gone.
    CHECK_THAT(text, Catch::Contains(" INFO  line n=0\n"));
    CHECK_THAT(text, Catch::EndsWith(" INFO  line n=11999\n"));
    CHECK(static_cast<std::uint64_t>(std::ranges::count(text, '\n')) + dropped == lines);
    log::configure({.level = log::Level::warn, .format = log::Format::text});
}
