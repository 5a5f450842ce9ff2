#pragma once
// The table of keys and what walks along it. One line per key says all there is to know: its name,
// kind and range, help, and the field it fills; the default is what the field holds before.

#include "config.hpp"
#include "config_node.hpp"
#include "config_values.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace fanfare::app {

template <class Target>
struct Key {
    std::string name; // dotted, from the table's root
    std::string words;
    std::string help;
    std::function<void(const Value&, Target&)> set;
    std::function<std::string(const Target&)> show;
    bool is_list = false;
    bool required = false;
    std::vector<KeyHelp> inner; // a list of sections: the keys of one of them
};

template <class Target>
using KeyTable = std::vector<Key<Target>>;

/// The field at the end of a path of member pointers.
template <class Object>
[[nodiscard]] Object& field(Object& object) {
    return object;
}
template <class Object, class First, class Class, class... Rest>
[[nodiscard]] auto& field(Object& object, First Class::*first, Rest... rest) {
    return field(object.*first, rest...);
}

/// One line of a table: `key("server.drain", duration(0s, 1h), "help", &Config::drain)`. Several
/// member pointers lead to a field of a field.
template <class T, class Target, class First, class... Rest>
[[nodiscard]] Key<Target> key(std::string name, Kind<T> kind, std::string help,
                              First Target::*first, Rest... rest) {
    using Field = std::remove_reference_t<decltype(field(std::declval<Target&>(), first, rest...))>;
    Key<Target> one;
    one.name = std::move(name);
    one.words = kind.words;
    one.help = std::move(help);
    one.is_list = kind.is_list;
    one.set = [read = kind.read, first, rest...](const Value& value, Target& target) {
        field(target, first, rest...) = static_cast<Field>(read(value));
    };
    one.show = [show = kind.show, first, rest...](const Target& target) {
        return show(static_cast<T>(field(target, first, rest...)));
    };
    return one;
}

template <class Target>
[[nodiscard]] Key<Target> required(Key<Target> one) {
    one.required = true;
    return one;
}

/// Calls `found` for each key of `section` that is in `names`, in the order of the file; sections
/// are entered. `prefix`: the name of `section` in messages. Fails on keys that are not known, with
/// the nearest that is, and on sections that are none.
void walk_keys(const ConfigNode& section, const std::string& prefix,
               const std::vector<std::string>& names,
               const std::function<void(std::size_t index, const Value&)>& found);

/// ". Did you mean …?", with the nearest of `names` (dotted) to a key that is not known; or empty.
[[nodiscard]] std::string suggestion(std::string_view key, const std::vector<std::string>& names);

/// `{match: a, history: {size: 1, ttl: 5m}}` from dotted names, those of a section side by side.
[[nodiscard]] std::string
show_section(const std::vector<std::pair<std::string, std::string>>& values);

template <class Target>
[[nodiscard]] std::vector<std::string> key_names(const KeyTable<Target>& table) {
    std::vector<std::string> names;
    for (const Key<Target>& one : table) names.push_back(one.name);
    return names;
}

/// Fills `target` from `section`.
template <class Target>
void read_keys(const KeyTable<Target>& table, const ConfigNode& section, const std::string& prefix,
               Target& target) {
    walk_keys(section, prefix, key_names(table),
              [&](std::size_t index, const Value& value) { table[index].set(value, target); });
    for (const Key<Target>& one : table)
        if (one.required && find_path(section, one.name) == nullptr)
            fail(section.place, prefix, "lacks " + one.name + "; expected " + one.words);
}

/// A list of sections, each read by a table of its own. `check` sees each one when it is complete.
template <class T>
[[nodiscard]] Kind<std::vector<T>> sections(std::string words, KeyTable<T> table,
                                            std::function<void(const T&, const Value&)> check,
                                            std::size_t max) {
    Kind<T> one;
    one.words = words;
    one.read = [words, table, check](const Value& value) {
        if (value.node.kind != ConfigNode::Kind::map) value.fail("is not one of " + words);
        T item;
        read_keys(table, value.node, value.key, item);
        check(item, value);
        return item;
    };
    one.show = [table](const T& item) {
        std::vector<std::pair<std::string, std::string>> values;
        for (const Key<T>& key : table) values.emplace_back(key.name, key.show(item));
        return show_section(values);
    };
    return list(one, 0, max);
}

/// `keys[].name` for the keys of a list's sections.
template <class T>
[[nodiscard]] std::vector<KeyHelp> inner_help(const std::string& name, const KeyTable<T>& table) {
    std::vector<KeyHelp> all;
    const T defaults;
    for (const Key<T>& one : table)
        all.push_back({name + "[]." + one.name, "", one.words,
                       one.required ? std::string{} : one.show(defaults), one.help});
    return all;
}

/// All keys of the file, in the order of config/fanfare.yaml.
[[nodiscard]] const KeyTable<Config>& config_keys();
/// "FANFARE_SERVER__MAX_HEAD" for "server.max_head"; empty for keys without a section: a variable
/// without `__` is no setting.
[[nodiscard]] std::string environment_name(std::string_view key);

} // namespace fanfare::app
