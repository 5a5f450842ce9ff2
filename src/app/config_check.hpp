#pragma once
// What only several keys together, or the files they name, can tell.

#include "config.hpp"
#include "config_node.hpp"

#include <string>
#include <string_view>

namespace fanfare::app {

/// `root`: the tree that `config` was read from, for places and for what was given at all.
/// `directory`: where relative paths of the file start; those from the environment start from the
/// working directory. Reads the files, fills in what follows from other keys, adds warnings.
/// Throws ConfigError.
void check_config(Config& config, const ConfigNode& root, const std::string& directory);

/// What the checks share. All references outlive it.
class Checks {
  public:
    Checks(Config& checked, const ConfigNode& root, const std::string& directory)
        : config(checked), root_(root), directory_(directory) {}

    Config& config;

    /// Throws ConfigError with the place of `key`, which may end with an index: "rooms[1]".
    [[noreturn]] void complain(std::string_view key, std::string_view what) const;
    /// The same for a file that a key names.
    [[noreturn]] void complain_file(std::string_view key, const std::string& path,
                                    std::string_view what) const;
    void warn(std::string_view key, std::string_view what);

    /// The value of `key` as it was written; null if it was not. May end with an index.
    [[nodiscard]] const ConfigNode* find(std::string_view key) const noexcept;
    [[nodiscard]] Place place(std::string_view key) const;
    /// True if a section was given at least one key.
    [[nodiscard]] bool given(std::string_view section) const noexcept;

    /// Makes `path`, the value of `key`, one that can be opened from here.
    void resolve(std::string_view key, std::string& path) const;
    /// The same, and returns the file's text.
    [[nodiscard]] std::string read(std::string_view key, std::string& path) const;

  private:
    const ConfigNode& root_;
    const std::string& directory_;
};

/// Algorithms and keys of auth.jwt.
void check_tokens(Checks& checks);
/// Credentials of push services; keeps the texts of their files.
void check_push(Checks& checks);
/// What is checked already and cannot be used yet: server.tls, broker and store in Redis,
/// auth.jwt.jwks_url.
void check_unbuilt(Checks& checks);
/// The section that is not built yet and `key` belongs to; empty if there is none.
[[nodiscard]] std::string_view unbuilt_section(std::string_view key) noexcept;

} // namespace fanfare::app
