#include "log_line.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <simdjson.h>

#include <limits>
#include <random>

using namespace fanfare;
using log::Format;
using log::format_line;
using log::Level;

namespace {

constexpr WallMillis some_time = 1'763'636'280'123;

std::string json(std::string_view event, log::Fields fields = {}) {
    return format_line(Format::json, Level::info, some_time, event, fields);
}
std::string text(std::string_view event, log::Fields fields = {}) {
    return format_line(Format::text, Level::info, some_time, event, fields);
}

} // namespace

TEST_CASE("log_line: JSON has time, level, event, then the fields", "[log]") {
    CHECK(json("started") ==
          R"({"time":"2025-11-20T10:58:00.123Z","level":"info","event":"started"})"
          "\n");
    CHECK(json("started", {{"port", 8080},
                           {"delta", std::int64_t{-1}},
                           {"bytes", std::numeric_limits<std::uint64_t>::max()},
                           {"reactors", 2U},
                           {"took", 0.25},
                           {"tls", false},
                           {"config", "a \"b\"\n"}}) ==
          R"({"time":"2025-11-20T10:58:00.123Z","level":"info","event":"started","port":8080,)"
          R"("delta":-1,"bytes":18446744073709551615,"reactors":2,"took":0.25,"tls":false,)"
          R"("config":"a \"b\"\n"})"
          "\n");
}

TEST_CASE("log_line: text is for reading", "[log]") {
    CHECK(text("started", {{"port", 8080}, {"config", "my file.yaml"}, {"tls", true}}) ==
          "2025-11-20T10:58:00.123Z INFO  started port=8080 config=\"my file.yaml\" tls=true\n");
}

TEST_CASE("log_line: levels have a name and a column", "[log]") {
    struct Case {
        Level level;
        const char* name;
        const char* column;
    };
    const auto c = GENERATE(values<Case>({{Level::debug, "\"debug\"", "Z DEBUG e"},
                                          {Level::info, "\"info\"", "Z INFO  e"},
                                          {Level::warn, "\"warn\"", "Z WARN  e"},
                                          {Level::error, "\"error\"", "Z ERROR e"}}));
    CHECK_THAT(format_line(Format::json, c.level, 0, "e", {}), Catch::Contains(c.name));
    CHECK_THAT(format_line(Format::text, c.level, 0, "e", {}), Catch::Contains(c.column));
}

TEST_CASE("log_line: a text value cannot pass for something else", "[log]") {
    struct Case {
        const char* name;
        std::string_view value;
        const char* written;
    };
    const auto c =
        GENERATE(values<Case>({{"plain", "chat:42/a-b_c", "v=chat:42/a-b_c\n"},
                               {"empty", "", "v=\"\"\n"},
                               {"a second field", "a level=error", "v=\"a level=error\"\n"},
                               {"an equals sign", "a=b", "v=\"a=b\"\n"},
                               {"a quote", "a\"b", "v=\"a\\\"b\"\n"},
                               {"a backslash", "a\\b", "v=\"a\\\\b\"\n"},
                               {"a second line", "a\nb", "v=\"a\\nb\"\n"},
                               {"a terminal escape", "\x1b[2J", "v=\"\\u001b[2J\"\n"},
                               {"beyond ASCII", "é", "v=\"é\"\n"},
                               {"not UTF-8", "a\xff", "v=\"a\uFFFD\"\n"}}));
    CAPTURE(c.name);
    CHECK_THAT(text("e", {{"v", c.value}}), Catch::EndsWith(c.written));
}

TEST_CASE("log_line: bytes that are not UTF-8 are replaced", "[log]") {
    CHECK_THAT(json("e", {{"v", "ok \xc3\xa9 \xc3 \xed\xa0\x80"}}),
               Catch::EndsWith("\"v\":\"ok é \uFFFD \uFFFD\uFFFD\uFFFD\"}\n"));
}

TEST_CASE("log_line: long values are cut between characters", "[log]") {
    const auto bounded = [](const std::string& value) {
        const std::string line = json("e", {{"v", value}});
        const std::size_t start = line.find("\"v\":\"") + 5;
        return line.substr(start, line.rfind('"') - start);
    };
    const std::string full(log::field_bytes_max, 'a');
    CHECK(bounded(full) == full);
    CHECK(bounded(full + "b") == full + "…");
    // Two-, three- and four-byte characters that the bound falls into at every place.
    for (const std::string_view character : {"é", "€", "😀"})
        for (std::size_t inside = 1; inside < character.size(); ++inside) {
            const std::string before(log::field_bytes_max - inside, 'a');
            CHECK(bounded(before + std::string{character} + "tail") == before + "…");
        }
    // And one that ends right at it.
    const std::string before(log::field_bytes_max - 3, 'a');
    CHECK(bounded(before + "€tail") == before + "€…");
    // Nothing but continuation bytes.
    CHECK(is_utf8(bounded(std::string(log::field_bytes_max + 5, '\x80'))));
}

TEST_CASE("log_line: any value makes one line of valid JSON", "[log]") {
    std::mt19937 random{6};
    simdjson::dom::parser parser;
    for (int i = 0; i < 3'000; ++i) {
        std::string value(random() % 30, '\0');
        for (char& c : value) c = static_cast<char>(random() & 0xff);
        const std::string line = json(value, {{value, value}});
        REQUIRE(line.find('\n') == line.size() - 1);
        std::string_view back;
        REQUIRE(parser.parse(line)["event"].get(back) == simdjson::SUCCESS);
        if (is_utf8(value)) CHECK(back == value);
        const std::string plain = text(value, {{value, value}});
        REQUIRE(plain.find('\n') == plain.size() - 1);
        REQUIRE(is_utf8(plain));
    }
}
