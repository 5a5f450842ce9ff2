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

} // namespace
} // namespace fanfare::delivery
