#pragma once
// Where the sources are, for tests that read files of the tree. The compiler's own word may be
// relative to a build directory (ccache with a base directory), so ctest tells.

#include <cstdlib>
#include <filesystem>

namespace fanfare::test {

inline std::filesystem::path source_dir() {
    if (const char* const told = std::getenv("FANFARE_TEST_SOURCE_DIR")) return told;
    return std::filesystem::path{__FILE__}.parent_path() / "../..";
}

} // namespace fanfare::test
