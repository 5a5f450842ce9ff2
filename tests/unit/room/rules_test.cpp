#include <fanfare/room/rules.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <random>
#include <string>
#include <string_view>

using namespace fanfare;
using room::glob_match;
using room::Rule;
using room::Rules;

namespace {

/// The definition, without thought for cost.
bool naive_match(std::string_view pattern, std::string_view text) {
    if (pattern.empty()) return text.empty();
    if (pattern.front() == '*')
        return naive_match(pattern.substr(1), text) ||
               (!text.empty() && naive_match(pattern, text.substr(1)));
    return !text.empty() && pattern.front() == text.front() &&
           naive_match(pattern.substr(1), text.substr(1));
}

Rule named(std::string match, bool presence) {
    Rule rule;
    rule.match = std::move(match);
    rule.presence = presence;
    return rule;
}

} // namespace

TEST_CASE("glob: `*` matches any run of characters, the empty one too", "[room][rules]") {
    struct Case {
        const char* pattern;
        const char* text;
        bool matches;
    };
    const auto c = GENERATE(values<Case>({
        {"news", "news", true},
        {"news", "new", false},
        {"news", "newss", false},
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything at all", true},
        {"chat:*", "chat:", true},
        {"chat:*", "chat:1", true},
        {"chat:*", "chat", false},
        {"chat:*", "xchat:1", false},
        {"*:1", "chat:1", true},
        {"*:1", "chat:12", false},
        {"post_*_comments", "post_7_comments", true},
        {"post_*_comments", "post__comments", true},
        {"post_*_comments", "post_comments", false}, // one `_` is not two
        {"post_*_comments", "post_7_comments_", false},
        {"a*b*c", "abc", true},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "acb", false},
        {"**", "x", true},
        {"a**b", "ab", true},
        {"*a*", "bab", true},
        {"*a*", "bbb", false},
        {"*ab", "aab", true},
        {"?", "a", false}, // nothing else is special
        {"[ab]", "a", false},
        {"a.c", "abc", false},
        {"*", "ä", true},
    }));
    CAPTURE(c.pattern, c.text);
    CHECK(glob_match(c.pattern, c.text) == c.matches);
}

TEST_CASE("glob: agrees with the definition", "[room][rules][property]") {
    std::mt19937 random{7};
    const auto text_of = [&](std::string_view letters, std::size_t size_max) {
        std::string text;
        for (auto n = random() % (size_max + 1); n > 0; --n)
            text += letters[random() % letters.size()];
        return text;
    };
    int matched = 0;
    for (int i = 0; i < 100'000; ++i) {
        const std::string pattern = text_of("ab*", 7);
        const std::string text = text_of("ab", 9);
        const bool expected = naive_match(pattern, text);
        matched += expected ? 1 : 0;
        if (glob_match(pattern, text) != expected) FAIL(pattern << " " << text);
    }
    CHECK(matched > 10'000);
}

TEST_CASE("glob: a pattern made to be slow is not", "[room][rules]") {
    std::string pattern;
    for (int i = 0; i < 120; ++i) pattern += "a*";
    pattern += "b";
    const std::string text(255, 'a');
    // Exponential for the naive definition: this would not end.
    CHECK_FALSE(glob_match(pattern, text));
}

TEST_CASE("rules: the first that matches governs", "[room][rules]") {
    const Rules rules{{named("chat:vip", true), named("chat:*", false), named("*:vip", true)}};
    REQUIRE(rules.find("chat:vip") != nullptr);
    CHECK(rules.find("chat:vip") == &rules.all()[0]);
    CHECK(rules.find("chat:1") == &rules.all()[1]);
    CHECK(rules.find("news:vip") == &rules.all()[2]);
    CHECK(rules.find("news") == nullptr);
    CHECK(rules.find("") == nullptr);
}

TEST_CASE("rules: reserved names are matched by none", "[room][rules]") {
    const Rules rules{{named("*", false), named("@*", false)}};
    CHECK(rules.find("@me") == nullptr);
    CHECK(rules.find("@") == nullptr);
    CHECK(rules.find("a@b") != nullptr);
}
