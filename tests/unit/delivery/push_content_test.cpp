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
    const PushText text{notification};
    const PushContent content = text.content();
    CHECK(content.title == "A \"b\" \xc3\xa4");
    CHECK(content.body == "c\nd");
    CHECK(content.data == R"({"x": 1})");
    CHECK(content.category == "q");
    CHECK(content.collapse_key == "k");
    CHECK(content.priority == Priority::high);
    CHECK(content.expires == 77);
    CHECK_FALSE(content.silent);
}

TEST_CASE("push content: without title and body there is nothing to show", "[delivery][push]") {
    const std::string data = GENERATE(R"({"data":"x"})", R"({"title":"","data":"x"})",
                                      R"({"title":7,"body":null,"data":"x"})", "", "[1]");
    CAPTURE(data);
    Notification notification;
    notification.data = data;
    const PushText text{notification};
    CHECK(text.content().title.empty());
    CHECK(text.content().body.empty());
    CHECK(text.content().silent);
}

TEST_CASE("push content: what is for push alone", "[delivery][push]") {
    Notification notification;
    notification.data = R"({"data":"x"})";
    const auto content_of = [&](const char* options, const auto& check) {
        notification.push_options = options;
        const PushText text{notification};
        check(text.content());
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
