#include "push_content.hpp"

#include <catch2/catch.hpp>

namespace fanfare::delivery {
namespace {

TEST_CASE("push content: is what clients are sent", "[delivery][push]") {
    Notification notification;
    notification.data =
        R"({"title":"A \"b\" \u00e4","body":"c\nd","data":{"x": 1},"category":"q"})";
    notification.category = "q";
    notification.collapse_key = "k";
    notification.priority = Priority::high;
    notification.expires = 77;
    PushText text;
    const PushContent content = text.content_of(notification);
    CHECK(content.title == "A \"b\" \xc3\xa4");
    CHECK(content.body == "c\nd");
    CHECK(content.data == R"({"x": 1})");
    CHECK(content.category == "q");
    CHECK(content.collapse_key == "k");
    CHECK(content.priority == Priority::high);
    CHECK(content.expires == 77);
    CHECK_FALSE(content.silent);
}

TEST_CASE("push content: of several in a row each says its own", "[delivery][push]") {
    PushText text;
    Notification one;
    one.data = R"({"title":"one","body":"b","data":1})";
    one.push_options = R"({"badge":3,"sound":"s"})";
    Notification two;
    two.data = R"({"title":"two"})";
    two.collapse_key = "k";
    for (int i = 0; i < 2; ++i) {
        const PushContent first = text.content_of(one);
        CHECK(first.title == "one");
        CHECK(first.data == "1");
        CHECK(first.badge == 3U);
        CHECK(first.sound == "s");
        CHECK(first.collapse_key.empty());
        const PushContent second = text.content_of(two);
        CHECK(second.title == "two");
        CHECK(second.body.empty());
        CHECK(second.data.empty());
        CHECK_FALSE(second.badge.has_value());
        CHECK(second.sound.empty());
        CHECK(second.collapse_key == "k");
    }
    two.push_options = R"({"silent":true})";
    CHECK(text.content_of(two).silent);
    two.push_options.clear();
    CHECK_FALSE(text.content_of(two).silent);
    two.data = "{}"; // nothing is left of what was before
    CHECK(text.content_of(two).title.empty());
}

TEST_CASE("push content: without title and body there is nothing to show", "[delivery][push]") {
    const std::string data = GENERATE(R"({"data":"x"})", R"({"title":"","data":"x"})",
                                      R"({"title":7,"body":null,"data":"x"})", "", "[1]");
    CAPTURE(data);
    Notification notification;
    notification.data = data;
    PushText text;
    CHECK(text.content_of(notification).title.empty());
    CHECK(text.content_of(notification).body.empty());
    CHECK(text.content_of(notification).silent);
}

TEST_CASE("push content: what is for push alone", "[delivery][push]") {
    Notification notification;
    notification.data = R"({"data":"x"})";
    const auto content_of = [&](const char* options, const auto& check) {
        notification.push_options = options;
        PushText text;
        check(text.content_of(notification));
    };
    content_of(R"({"badge":0,"sound":"a \"b\""})", [](const PushContent& content) {
        CHECK(content.badge == 0U);
        CHECK(content.sound == "a \"b\"");
        CHECK_FALSE(content.silent); // there is something to notice
    });
    content_of(R"({"badge":2147483647})", [](const PushContent& content) {
        CHECK(content.badge == 2'147'483'647U);
        CHECK_FALSE(content.silent);
    });
    content_of(R"({"silent":true})", [](const PushContent& content) { CHECK(content.silent); });
    notification.data = R"({"title":"t"})";
    content_of("", [](const PushContent& content) {
        CHECK_FALSE(content.silent);
        CHECK_FALSE(content.badge);
        CHECK(content.sound.empty());
    });
    content_of(R"({"silent":true})", [](const PushContent& content) { CHECK(content.silent); });
    // Nobody writes such, and nothing bad comes of it.
    for (const char* const odd :
         {"7", "{", R"({"badge":-1,"sound":7})", R"({"badge":99999999999})"})
        content_of(odd, [](const PushContent& content) {
            CHECK_FALSE(content.badge);
            CHECK(content.sound.empty());
        });
}

} // namespace
} // namespace fanfare::delivery
