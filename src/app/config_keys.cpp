#include "config_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace fanfare::app {
namespace {

std::string_view last_word(std::string_view key) {
    const std::size_t dot = key.rfind('.');
    return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

/// Sections and keys directly below `section` ("" is the root), as full names.
std::vector<std::string> names_below(std::string_view section,
                                     const std::vector<std::string>& names) {
    std::vector<std::string> below;
    for (const std::string& name : names) {
        if (!section.empty() && !(name.starts_with(section) && name[section.size()] == '.'))
            continue;
        const std::size_t begin = section.empty() ? 0 : section.size() + 1;
        std::string one = name.substr(0, name.find('.', begin));
        if (below.empty() || below.back() != one) below.push_back(std::move(one));
    }
    return below;
}

/// A walk through the sections of one table.
struct Walk {
    const std::string& prefix;
    const std::vector<std::string>& names;
    const std::function<void(std::size_t, const Value&)>& found;

    void section(const ConfigNode& node, const std::string& path) const {
        for (const ConfigNode::Member& member : node.members) {
            const std::string name = path.empty() ? member.name : path + "." + member.name;
            one(member, name);
        }
    }

    void one(const ConfigNode::Member& member, const std::string& name) const {
        // For messages; a name of control characters and dots must not look like one of ours.
        const std::string shown = prefix.empty() && name == member.name
                                      ? join_key("", name)
                                      : prefix + (prefix.empty() ? "" : ".") + shown_path(name);
        const auto exact = std::find(names.begin(), names.end(), name);
        const bool odd = member.name.find('.') != std::string::npos;
        if (exact != names.end() && !odd) {
            found(static_cast<std::size_t>(exact - names.begin()), {member.value, shown});
            return;
        }
        const bool is_section =
            !odd && std::any_of(names.begin(), names.end(), [&](const std::string& known) {
                return known.starts_with(name + ".");
            });
        if (odd && exact != names.end())
            fail(member.place, shown,
                 "unknown key; a dot makes no section: write " + std::string{last_word(name)} +
                     " below its section");
        if (!is_section) fail(member.place, shown, "unknown key" + suggestion(name, names));
        // A section whose keys are all commented out is null.
        if (member.value.kind != ConfigNode::Kind::map &&
            member.value.kind != ConfigNode::Kind::null)
            fail(member.value.place, shown,
                 "is a section; expected keys below it, such as " +
                     std::string{last_word(names_below(name, names).front())});
        section(member.value, name);
    }

    static std::string shown_path(const std::string& name) {
        const std::size_t dot = name.rfind('.');
        return dot == std::string::npos ? join_key("", name)
                                        : join_key(name.substr(0, dot), name.substr(dot + 1));
    }
};

} // namespace

std::string suggestion(std::string_view key, const std::vector<std::string>& names) {
    const std::size_t dot = key.rfind('.');
    const std::string_view section = dot == std::string_view::npos ? "" : key.substr(0, dot);
    // First among the neighbours, by the last word alone: long section names would hide a typo.
    std::vector<std::string> words;
    const std::vector<std::string> neighbours = names_below(section, names);
    words.reserve(neighbours.size());
    for (const std::string& name : neighbours) words.emplace_back(last_word(name));
    std::string best = nearest(last_word(key), words);
    if (!best.empty()) return "; did you mean " + best + "?";
    // Then the same word in another section, then whatever looks alike.
    for (const std::string& name : names)
        if (last_word(name) == last_word(key)) return "; did you mean " + name + "?";
    best = nearest(key, names);
    if (!best.empty()) return "; did you mean " + best + "?";
    std::string known;
    for (const std::string& word : words) (known += known.empty() ? "" : ", ") += word;
    return known.empty() ? "" : "; expected one of " + known;
}

void walk_keys(const ConfigNode& section, const std::string& prefix,
               const std::vector<std::string>& names,
               const std::function<void(std::size_t, const Value&)>& found) {
    Walk{prefix, names, found}.section(section, "");
}

std::string show_section(const std::vector<std::pair<std::string, std::string>>& values) {
    std::string out = "{";
    std::string_view open; // the inner section that is being written
    for (const auto& [name, value] : values) {
        const std::size_t dot = name.find('.');
        const std::string_view section =
            dot == std::string::npos ? std::string_view{} : std::string_view{name}.substr(0, dot);
        if (!open.empty() && section != open) out += '}';
        if (out.size() > 1) out += ", ";
        if (!section.empty() && section != open) out += std::string{section} + ": {";
        out += std::string{last_word(name)} + ": " + value;
        open = section;
    }
    return out + (open.empty() ? "}" : "}}");
}

std::string environment_name(std::string_view key) {
    if (key.find('.') == std::string_view::npos) return "";
    std::string name = "FANFARE_";
    for (const char c : key) {
        if (c == '.')
            name += "__";
        else
            name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return name;
}

std::vector<KeyHelp> known_keys() {
    const Config defaults;
    std::vector<KeyHelp> all;
    for (const Key<Config>& one : config_keys()) {
        all.push_back(
            {one.name, environment_name(one.name), one.words, one.show(defaults), one.help});
        all.insert(all.end(), one.inner.begin(), one.inner.end());
    }
    return all;
}

std::vector<std::string> changed_keys(const Config& before, const Config& after) {
    std::vector<std::string> changed;
    for (const Key<Config>& one : config_keys()) {
        // The same path may hold another key now.
        const bool same_file = one.name != "auth.jwt.public_key" ||
                               before.jwt.public_key_pem == after.jwt.public_key_pem;
        if (one.show(before) != one.show(after) || !same_file) changed.push_back(one.name);
    }
    return changed;
}

} // namespace fanfare::app
