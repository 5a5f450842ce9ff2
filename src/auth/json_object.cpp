#include "json_object.hpp"

#include <fanfare/base/json_check.hpp>

#include <simdjson.h>

#include <algorithm>
#include <utility>

namespace fanfare::auth {
namespace {

namespace ondemand = simdjson::ondemand;

/// A name or text; nothing only if simdjson refuses what check_json let pass.
std::optional<std::string> to_string(simdjson::simdjson_result<std::string_view> text) {
    std::string_view view;
    if (std::move(text).get(view) != simdjson::SUCCESS) return std::nullopt;
    return std::string{view};
}

JsonValue::Kind kind_of(char first) noexcept {
    switch (first) {
    case '{':
        return JsonValue::Kind::object;
    case '[':
        return JsonValue::Kind::array;
    case '"':
        return JsonValue::Kind::string;
    case 't':
    case 'f':
        return JsonValue::Kind::boolean;
    case 'n':
        return JsonValue::Kind::null;
    default:
        return JsonValue::Kind::number;
    }
}

std::optional<JsonValue> to_value(ondemand::value value) {
    ondemand::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return std::nullopt;
    JsonValue result;
    std::optional<std::string> raw;
    if (type == ondemand::json_type::string) {
        const std::string_view token = value.raw_json_token(); // white space may follow in it
        raw = token.substr(0, token.find_last_of('"') + 1);
        std::optional<std::string> text = to_string(value.get_string());
        if (!text) return std::nullopt;
        result.text = std::move(*text);
    } else {
        raw = to_string(simdjson::to_json_string(value));
    }
    if (!raw || raw->empty()) return std::nullopt;
    result.raw = std::move(*raw);
    result.kind = kind_of(result.raw.front());
    return result;
}

} // namespace

std::optional<JsonObject> JsonObject::parse(std::string_view text) {
    if (check_json(text)) return std::nullopt;
    const simdjson::padded_string padded{text};
    ondemand::parser parser;
    ondemand::document document;
    ondemand::object object;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return std::nullopt;
    if (document.get_object().get(object) != simdjson::SUCCESS) return std::nullopt;

    JsonObject result;
    for (auto item : object) {
        ondemand::field field;
        if (std::move(item).get(field) != simdjson::SUCCESS) return std::nullopt;
        std::optional<std::string> name = to_string(field.unescaped_key());
        std::optional<JsonValue> value = to_value(field.value());
        if (!name || !value) return std::nullopt;
        result.members_.push_back({std::move(*name), std::move(*value)});
    }
    std::ranges::sort(result.members_, {}, &Member::name);
    const auto twice = std::ranges::adjacent_find(result.members_, {}, &Member::name);
    if (twice != result.members_.end()) return std::nullopt;
    return result;
}

const JsonValue* JsonObject::find(std::string_view name) const noexcept {
    const auto found = std::ranges::lower_bound(
        members_, name, {}, [](const Member& member) { return std::string_view{member.name}; });
    return found != members_.end() && found->name == name ? &found->value : nullptr;
}

std::optional<std::vector<std::string>> parse_string_list(std::string_view text) {
    if (check_json(text)) return std::nullopt;
    const simdjson::padded_string padded{text};
    ondemand::parser parser;
    ondemand::document document;
    ondemand::array array;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return std::nullopt;
    if (document.get_array().get(array) != simdjson::SUCCESS) return std::nullopt;
    std::vector<std::string> result;
    for (auto item : array) {
        std::optional<std::string> element = to_string(item.get_string());
        if (!element) return std::nullopt;
        result.push_back(std::move(*element));
    }
    return result;
}

} // namespace fanfare::auth
