#pragma once
// Keys and certificates that a configuration names: there, readable, and what they should be.

#include "config_check.hpp"

#include <string>
#include <string_view>

namespace fanfare::app {

/// Complains if the value of `key` is missing. `what`: what it should be.
void need(const Checks& checks, std::string_view key, const std::string& value,
          std::string_view what);
/// The text of a PEM file with certificates; empty if `path` is. Complains if it is none.
std::string read_certificates(const Checks& checks, std::string_view key, std::string& path);
/// The text of a PEM file with a private key. Complains if it is none.
std::string read_private_key(const Checks& checks, std::string_view key, std::string& path);

} // namespace fanfare::app
