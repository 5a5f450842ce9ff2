#include "config_node.hpp"

#include "config.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace fanfare::app {

std::string complaint(const Place& place, std::string_view key, std::string_view what) {
    std::string line = place.source ? *place.source : std::string{};
    if (place.line > 0) line += fmt::format(":{}", place.line);
    if (!line.empty()) line += ": ";
    if (!key.empty()) (line += key) += ": ";
    line += what;
    // Names of files and the YAML parser's own words come from outside.
    std::replace_if(
        line.begin(), line.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return line;
}

void fail(const Place& place, std::string_view key, std::string_view what) {
    throw ConfigError(complaint(place, key, what));
}

void add_member(ConfigNode& map, ConfigNode::Member member, std::string_view key) {
    const std::string name = join_key(key, member.name);
    if (const ConfigNode::Member* first = find_member(map, member.name)) {
        const std::string where =
            first->place.line > 0 ? fmt::format(", first in line {}", first->place.line) : "";
        fail(member.place, name, "is given twice" + where + "; keep one of them");
    }
    if (map.members.size() >= map_members_max)
        fail(member.place, name,
             fmt::format("is one key too many: a section has at most {}", map_members_max));
    map.members.push_back(std::move(member));
}

const ConfigNode::Member* find_member(const ConfigNode& map, std::string_view name) noexcept {
    const auto found =
        std::find_if(map.members.begin(), map.members.end(),
                     [name](const ConfigNode::Member& member) { return member.name == name; });
    return found == map.members.end() ? nullptr : &*found;
}

const ConfigNode* find_path(const ConfigNode& root, std::string_view path) noexcept {
    const ConfigNode* node = &root;
    while (!path.empty()) {
        const std::size_t dot = path.find('.');
        const ConfigNode::Member* member = find_member(*node, path.substr(0, dot));
        if (member == nullptr) return nullptr;
        node = &member->value;
        path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
    }
    return node;
}

Place place_of(const ConfigNode& root, std::string_view path) {
    const ConfigNode* node = &root;
    Place place = root.place;
    while (!path.empty()) {
        const std::size_t dot = path.find('.');
        const ConfigNode::Member* member = find_member(*node, path.substr(0, dot));
        if (member == nullptr) break;
        node = &member->value;
        // A section's line is that of its name: its value begins with its first key.
        place = node->kind == ConfigNode::Kind::map ? member->place : node->place;
        path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
    }
    return place;
}

std::string in_quotes(std::string_view text) {
    constexpr std::size_t shown_max = 60;
    std::string cut{text.substr(0, shown_max)};
    // A cut inside a character must not leave half of it.
    while (!cut.empty() && text.size() > cut.size() && !is_utf8(cut)) cut.pop_back();
    if (!is_utf8(cut)) return "\"…\"";
    if (cut.size() < text.size()) cut += "…";
    std::string out;
    append_json_string(out, cut);
    return out;
}

std::string join_key(std::string_view section, std::string_view name) {
    // A name that nobody would write by intent is shown escaped.
    const bool plain =
        !name.empty() && name.size() <= 64 &&
        std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    const std::string shown = plain ? std::string{name} : in_quotes(name);
    return section.empty() ? shown : fmt::format("{}.{}", section, shown);
}

} // namespace fanfare::app
