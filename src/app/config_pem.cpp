#include "config_pem.hpp"

#include "config_files.hpp"

#include <fmt/format.h>

namespace fanfare::app {

void need(const Checks& checks, std::string_view key, const std::string& value,
          std::string_view what) {
    if (value.empty()) checks.complain(key, fmt::format("is missing; expected {}", what));
}

std::string read_certificates(const Checks& checks, std::string_view key, std::string& path) {
    if (path.empty()) return "";
    std::string pem = checks.read(key, path);
    const std::string fault = certificate_fault(pem);
    if (!fault.empty()) checks.complain_file(key, path, fault);
    return pem;
}

std::string read_private_key(const Checks& checks, std::string_view key, std::string& path) {
    std::string pem = checks.read(key, path);
    const KeyCheck check = check_private_key(pem);
    if (!check.fault.empty()) checks.complain_file(key, path, check.fault);
    return pem;
}

} // namespace fanfare::app
