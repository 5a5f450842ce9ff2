#pragma once
// One request of the HTTP/2 client, from `send` to its answer. Pooled: the strings keep their
// memory, so that a request allocates nothing of ours once the pool is warm.

#include <fanfare/base/clock.hpp>
#include <fanfare/http/h2_client.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fanfare::http {

struct H2Stream {
    // --- the request ---
    H2Caller* caller = nullptr;
    std::uint64_t tag = 0;
    MonoMillis due = 0;
    std::int32_t id = 0;
    std::uint64_t output_begin = 0; // where its HEADERS begin in the connection's output
    std::string_view unsent;        // of the body: the caller's bytes during `send`, then `kept`
    std::string kept;               // what flow control did not let go at once
    bool upload_done = false;
    // --- the answer ---
    H2Answer::Kind kind = H2Answer::Kind::lost;
    bool headed = false; // the final response's headers are complete; what comes are trailers
    bool ended = false;  // the response is complete
    bool truncated = false;
    bool torn = false; // its connection broke
    int status = 0;
    std::string head; // H2Answer::packed_headers
    std::string body;
    const char* reason = "";
    // --- lists ---
    bool finished = false;       // in no list but that of the finished
    H2Stream* earlier = nullptr; // of the connection, by deadline
    H2Stream* later = nullptr;
    H2Stream* next = nullptr; // finished ones, in order
};

/// Streams that are not in use, kept for the next requests.
class H2Streams {
  public:
    [[nodiscard]] H2Stream* take();
    void give_back(H2Stream* stream);
    ~H2Streams();
    H2Streams() = default;
    H2Streams(const H2Streams&) = delete;
    H2Streams& operator=(const H2Streams&) = delete;

  private:
    std::vector<std::unique_ptr<H2Stream>> spare_;
};

/// Appends a header to H2Answer::packed_headers: two lengths of 16 bits, name, value.
void pack_header(std::string& packed, std::string_view name, std::string_view value);

} // namespace fanfare::http
