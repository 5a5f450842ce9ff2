#include <fanfare/base/json_check.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/dead_letters.hpp>

#include <utility>

namespace fanfare::delivery {
namespace {

constexpr std::array<std::string_view, letter_skip_count> skip_names{
    "device_gone", "no_provider",       "acknowledged", "over",
    "expired",     "notification_gone", "not_found"};

/// The members of a content, in their order; names are ours, so none is escaped.
class Members final : public JsonMembers {
  public:
    void on_member(std::string_view name, std::string_view value) noexcept override {
        if (name == "title")
            title = value;
        else if (name == "body")
            body = value;
        else if (name == "data")
            data = value;
        else if (others_count < others.size())
            others[others_count++] = {name, value};
    }
    std::string_view title;
    std::string_view body;
    std::string_view data;
    std::array<std::pair<std::string_view, std::string_view>, 8> others; // category and the like
    std::size_t others_count = 0;
};

/// What stands there afterwards; empty: nothing.
std::string_view changed(std::string_view old, const std::optional<std::string>& edit) {
    return edit ? std::string_view{*edit} : old;
}

} // namespace

std::string_view letter_skip_name(LetterSkip skip) noexcept {
    return skip_names[static_cast<std::size_t>(skip)];
}

std::variant<Error, std::string> edited_content(std::string_view content, const LetterEdit& edit,
                                                std::size_t bytes_max) {
    Members members;
    if (check_json(content, members)) members = {}; // ours, so it never is
    const std::string_view title = changed(members.title, edit.title);
    const std::string_view body = changed(members.body, edit.body);
    const std::string_view data = changed(members.data, edit.data);
    if (title.empty() && body.empty() && data.empty())
        return Error{Code::bad_request, "one of `title`, `body` and `data` must be there", "title"};
    std::string text;
    text.reserve(title.size() + body.size() + data.size() + 160);
    JsonWriter json{text};
    json.begin_object();
    if (!title.empty()) json.key("title").raw(title);
    if (!body.empty()) json.key("body").raw(body);
    if (!data.empty()) json.key("data").raw(data);
    for (std::size_t i = 0; i < members.others_count; ++i)
        json.key(members.others[i].first).raw(members.others[i].second);
    json.end_object();
    if (text.size() > bytes_max)
        return Error{Code::too_large,
                     "what is pushed of it would have " + std::to_string(text.size()) +
                         " bytes, and at most " + std::to_string(bytes_max) + " are allowed",
                     {}};
    return text;
}

} // namespace fanfare::delivery
