#pragma once
// What the readers of request bodies share: the known members of an object, taken down while the
// text is being checked. No I/O.

#include <fanfare/base/error.hpp>
#include <fanfare/base/json_check.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace fanfare::api {

/// Why a JSON string is not what a member takes, as a phrase; nullptr: it is fine.
using TextFault = const char* (*)(std::string_view) noexcept;

[[nodiscard]] inline Error wrong_member(std::string field, std::string_view what) {
    std::string message = "`" + field + "` ";
    message += what;
    return {Code::bad_request, std::move(message), std::move(field)};
}

[[nodiscard]] inline Error wrong_json(const JsonFault& fault) {
    return {Code::bad_request, "byte " + std::to_string(fault.at) + ": " + fault.what, {}};
}

/// `Member`: an enum class whose values are places in `names`. Read they are once the whole text
/// has passed: until then a value is only bytes.
template <class Member, const auto& names>
class BodyMembers final : public JsonMembers {
  public:
    /// Checks that the text is one JSON object.
    [[nodiscard]] Error take(std::string_view text) {
        if (const JsonFault fault = check_json(text, *this)) return wrong_json(fault);
        if (text[text.find_first_not_of(" \t\r\n")] != '{')
            return {Code::bad_request, "the body must be a JSON object", {}};
        return {};
    }
    /// Calls `read(member, value)` in order, until one returns an error or is there twice.
    /// `within`: how the body calls the object, with a dot; empty: it is the body.
    template <class Read>
    [[nodiscard]] Error each(Read&& read, std::string_view within = {}) const {
        for (std::size_t i = 0; i < count_; ++i) {
            const auto& [member, value] = items_[i];
            if (repeated_ && i + 1 == count_)
                return wrong_member(
                    std::string{within}.append(names[static_cast<std::size_t>(member)]),
                    "is there twice");
            if (Error error = read(member, value)) return error;
        }
        return {};
    }
    [[nodiscard]] bool has(Member member) const noexcept { return (seen_ & bit(member)) != 0; }
    /// For bodies in which a member that is not known must not be skipped: the error that names the
    /// first one.
    [[nodiscard]] Error refuse_others(std::string_view within = {}) const {
        if (!other_) return {};
        std::string field{within};
        append_unescaped(field, *other_);
        return wrong_member(std::move(field), "is not known here");
    }

  private:
    static constexpr auto none = static_cast<Member>(names.size());
    struct Item {
        Member member;
        std::string_view value;
    };

    static unsigned bit(Member member) noexcept { return 1U << static_cast<unsigned>(member); }

    void on_member(std::string_view name, std::string_view value) noexcept override {
        if (repeated_) return;
        const Member member =
            name.find('\\') == std::string_view::npos ? member_of(name) : escaped_member(name);
        if (member == none) {
            if (!other_) other_ = name;
            return;
        }
        repeated_ = has(member);
        seen_ |= bit(member);
        items_[count_++] = {member, value};
    }
    static Member member_of(std::string_view name) noexcept {
        const auto at = std::find(names.begin(), names.end(), name);
        return static_cast<Member>(at - names.begin());
    }
    /// Whoever escapes a name means it all the same.
    static Member escaped_member(std::string_view name) noexcept {
        constexpr auto shorter = [](std::string_view a, std::string_view b) {
            return a.size() < b.size();
        };
        constexpr std::size_t longest = // each character as \uXXXX
            6 * std::max_element(names.begin(), names.end(), shorter)->size();
        if (name.size() > longest) return none;
        // The escapes were checked already: strings are, as they are passed.
        std::string plain;
        append_unescaped(plain, name);
        return member_of(plain);
    }

    // In order; if `repeated_`, the last one is there for the second time.
    std::array<Item, names.size() + 1> items_;
    std::size_t count_ = 0;
    bool repeated_ = false;
    unsigned seen_ = 0;
    std::optional<std::string_view> other_; // the first that is not known, as it stands
};

/// Calls `read(value)` for the elements of a JSON array that has passed, until one returns an
/// error. Of an array or object among them only the first byte is shown, and `read` must refuse it.
template <class Read>
[[nodiscard]] Error each_element(std::string_view array, Read&& read) {
    constexpr std::string_view space = " \t\r\n";
    std::size_t at = array.find_first_not_of(space, 1);
    while (array[at] != ']') {
        std::size_t bytes = 1;
        if (array[at] == '"') {
            while (array[at + bytes] != '"') bytes += array[at + bytes] == '\\' ? 2U : 1U;
            ++bytes;
        } else if (array[at] != '[' && array[at] != '{') {
            bytes = array.find_first_of(", \t\r\n]", at) - at;
        }
        if (Error error = read(array.substr(at, bytes))) return error;
        at = array.find_first_not_of(space, at + bytes);
        if (array[at] == ',') at = array.find_first_not_of(space, at + 1);
    }
    return {};
}

} // namespace fanfare::api
