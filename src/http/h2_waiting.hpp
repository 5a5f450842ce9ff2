#pragma once
// A request that waits for a connection: a copy of all its views in one buffer.

#include <fanfare/base/clock.hpp>
#include <fanfare/http/h2_client.hpp>

#include <cstdint>
#include <vector>

namespace fanfare::http {

class H2Waiting {
  public:
    H2Waiting(const H2Request& request, H2Caller& caller, std::uint64_t tag, MonoMillis due);
    [[nodiscard]] H2Request request() const noexcept;
    [[nodiscard]] H2Caller& caller() const noexcept { return *caller_; }
    [[nodiscard]] std::uint64_t tag() const noexcept { return tag_; }
    [[nodiscard]] MonoMillis due() const noexcept { return due_; }

  private:
    [[nodiscard]] std::string_view keep(std::string_view text);

    H2Caller* caller_;
    std::uint64_t tag_;
    MonoMillis due_;
    std::vector<char> bytes_; // moves without moving its bytes
    std::vector<H2Header> headers_;
    std::string_view method_, path_, body_;
};

} // namespace fanfare::http
