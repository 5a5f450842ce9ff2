#include "config_environment.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_check.hpp>

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cctype>
#include <unistd.h>

namespace fanfare::app {
namespace {

constexpr std::string_view prefix = "FANFARE_";

/// A JSON value as a tree. check_json has bounded its depth; duplicate names are found here.
ConfigNode to_node(const simdjson::dom::element& element, const Place& place) {
    ConfigNode node;
    node.place = place;
    node.kind = ConfigNode::Kind::scalar;
    switch (element.type()) {
    case simdjson::dom::element_type::ARRAY:
        node.kind = ConfigNode::Kind::list;
        for (const auto item : simdjson::dom::array(element))
            node.items.push_back(to_node(item, place));
        break;
    case simdjson::dom::element_type::OBJECT:
        node.kind = ConfigNode::Kind::map;
        for (const auto member : simdjson::dom::object(element))
            add_member(node, {std::string{member.key}, place, to_node(member.value, place)}, "");
        break;
    case simdjson::dom::element_type::STRING:
        node.style = ConfigNode::Style::quoted;
        node.text = std::string{std::string_view(element)};
        break;
    case simdjson::dom::element_type::NULL_VALUE:
        node.kind = ConfigNode::Kind::null;
        break;
    default: // a number or a boolean; its text is enough
        node.text = simdjson::minify(element);
    }
    return node;
}

ConfigNode json_node(const std::string& text, const Place& place, const std::string& key) {
    constexpr std::string_view expected = "expected a JSON list such as [\"…\",\"…\"]";
    if (const JsonFault fault = check_json(text))
        fail(place, key,
             fmt::format("is not JSON ({} at byte {}); {}", fault.what, fault.at, expected));
    simdjson::dom::parser parser;
    simdjson::dom::element element;
    // What check_json lets pass and simdjson does not: numbers beyond 64 bits.
    if (parser.parse(text).get(element) != simdjson::SUCCESS)
        fail(place, key, fmt::format("holds a number that is too large; {}", expected));
    if (element.type() != simdjson::dom::element_type::ARRAY)
        fail(place, key, fmt::format("is not a list; {}", expected));
    return to_node(element, place);
}

/// Replaces or adds the value at a dotted path; sections that are missing or null are made.
void put(ConfigNode& root, std::string_view path, ConfigNode value) {
    ConfigNode* node = &root;
    for (;;) {
        const std::size_t dot = path.find('.');
        const std::string_view name = path.substr(0, dot);
        auto member =
            std::find_if(node->members.begin(), node->members.end(),
                         [name](const ConfigNode::Member& one) { return one.name == name; });
        if (member == node->members.end()) {
            add_member(*node, {std::string{name}, value.place, ConfigNode{}}, "");
            member = node->members.end() - 1;
        }
        node = &member->value;
        if (dot == std::string_view::npos) break;
        // A list or a scalar where a section belongs is refused later; it keeps its own place then.
        if (node->kind == ConfigNode::Kind::scalar || node->kind == ConfigNode::Kind::list) return;
        if (node->kind == ConfigNode::Kind::null) {
            node->kind = ConfigNode::Kind::map;
            node->place = value.place;
        }
        path.remove_prefix(dot + 1);
    }
    *node = std::move(value);
}

/// "server.max_head" for FANFARE_SERVER__MAX_HEAD.
std::string key_of(std::string_view variable) {
    variable.remove_prefix(prefix.size());
    std::string key;
    while (!variable.empty()) {
        if (variable.starts_with("__") && !key.empty()) {
            key += '.';
            variable.remove_prefix(2);
            continue;
        }
        key += static_cast<char>(std::tolower(static_cast<unsigned char>(variable.front())));
        variable.remove_prefix(1);
    }
    return key;
}

std::string variable_suggestion(const std::string& key, const KeyTable<Config>& table) {
    std::vector<std::string> variables;
    std::string best;
    for (const Key<Config>& one : table) {
        const std::string variable = environment_name(one.name);
        if (variable.empty()) continue;
        variables.push_back(variable);
        if (best.empty() && one.name.starts_with(key + ".")) best = variable;
    }
    if (!best.empty()) return "; it is a section: set its keys, such as " + best;
    best = nearest(environment_name(key), variables);
    return best.empty() ? "" : "; did you mean " + best + "?";
}

/// Below a list: api.keys.0.name. The list itself is what can be set.
const Key<Config>* list_above(const std::string& key, const KeyTable<Config>& table) {
    for (const Key<Config>& one : table)
        if (one.is_list && key.starts_with(one.name + ".")) return &one;
    return nullptr;
}

} // namespace

Environment process_environment() {
    Environment settings;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::size_t equals = text.find('=');
        if (text.starts_with(prefix) && equals != std::string_view::npos)
            settings.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    // The order of the environment is nobody's choice; messages should not depend on it.
    std::sort(settings.begin(), settings.end());
    return settings;
}

void lay_over(ConfigNode& root, const Environment& environment, const KeyTable<Config>& table,
              std::vector<std::string>& warnings) {
    for (const auto& [variable, text] : environment) {
        if (!variable.starts_with(prefix)) continue;
        const Place place{std::make_shared<const std::string>("environment " + variable), 0};
        const std::string key = key_of(variable);
        const auto known = std::find_if(table.begin(), table.end(),
                                        [&](const Key<Config>& one) { return one.name == key; });
        if (variable.find("__", prefix.size()) == std::string::npos) {
            if (known != table.end())
                warnings.push_back(complaint(place, "",
                                             "is not a setting: a key without a section can be set "
                                             "in the file only"));
            continue;
        }
        // Names are compared as they are: the environment tells upper from lower case.
        if (known == table.end() || environment_name(key) != variable) {
            if (const Key<Config>* list = list_above(key, table))
                fail(place, "",
                     "unknown key; set " + environment_name(list->name) + " to a JSON list");
            fail(place, "", "unknown key" + variable_suggestion(key, table));
        }
        ConfigNode value;
        value.place = place;
        if (known->is_list) {
            value = json_node(text, place, key);
        } else {
            value.kind = ConfigNode::Kind::scalar;
            value.style = ConfigNode::Style::either;
            value.text = text;
        }
        put(root, key, std::move(value));
    }
}

} // namespace fanfare::app
