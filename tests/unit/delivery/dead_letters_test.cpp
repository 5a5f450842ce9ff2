#include <fanfare/delivery/dead_letters.hpp>

#include <catch2/catch.hpp>

namespace fanfare::delivery {
namespace {

constexpr const char* content =
    R"({"title":"t","body":"b","data":{"n":1e400},"category":"c","priority":"high","created":"x"})";

std::string edited(const LetterEdit& edit, std::size_t bytes_max = 1'000) {
    const auto result = edited_content(content, edit, bytes_max);
    const auto* const text = std::get_if<std::string>(&result);
    return text != nullptr ? *text : "(" + std::get<Error>(result).message + ")";
}

} // namespace

TEST_CASE("dead letters: an edit changes what it names, byte for byte", "[delivery][letters]") {
    LetterEdit edit;
    CHECK(edited(edit) == content);
    edit.title = R"("\u00e4")";
    edit.data = R"([1, 2])";
    CHECK(edited(edit) == R"({"title":"\u00e4","body":"b","data":[1, 2],"category":"c",)"
                          R"("priority":"high","created":"x"})");
    edit.body = "";
    edit.data = "";
    CHECK(edited(edit) == R"({"title":"\u00e4","category":"c","priority":"high","created":"x"})");
}

TEST_CASE("dead letters: an edit leaves something to say, within bounds", "[delivery][letters]") {
    LetterEdit edit;
    edit.title = edit.body = edit.data = "";
    CHECK(edited(edit) == "(one of `title`, `body` and `data` must be there)");
    edit.data = "null";
    CHECK(edited(edit) == R"({"data":null,"category":"c","priority":"high","created":"x"})");
    const std::size_t size = edited(edit).size();
    CHECK(edited(edit, size) == edited(edit));
    CHECK(edited(edit, size - 1).starts_with("(what is pushed of it would have "));
}

TEST_CASE("dead letters: what is skipped has a name", "[delivery][letters]") {
    CHECK(letter_skip_name(LetterSkip::device_gone) == "device_gone");
    CHECK(letter_skip_name(LetterSkip::not_found) == "not_found");
}

} // namespace fanfare::delivery
