// check_json and simdjson's DOM agree about every text, but for depth and the size of numbers.

#include "json_check_oracle.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_check.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A copy of the exact size, so that a read beyond the end is seen.
    const std::unique_ptr<char[]> copy{new char[size]};
    std::copy_n(data, size, copy.get());
    const std::string_view text{copy.get(), size};

    const fanfare::JsonFault fault = fanfare::check_json(text);
    if (fault.at > size) std::abort();
    const bool too_deep = fault && std::string_view{fault.what} == "nested too deeply";
    if (!too_deep && static_cast<bool>(fault) == fanfare::test::simdjson_accepts(text))
        std::abort();
    if (!fault && !fanfare::test::members_agree(text)) std::abort();
    return 0;
}
