#pragma once
// The body of `POST /api/v1/publish`, and each item of a batch: one text in, one value out. No I/O.

#include <fanfare/base/error.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fanfare::api {

/// Views show the text and the parser's memory: valid until either changes or the next parse.
struct PublishBody {
    std::vector<std::string_view> rooms; // one, or those of `rooms`
    bool many = false;                   // `rooms` was given
    std::string_view data;               // JSON as it came
    std::string_view event;              // empty: none
    std::string_view id;                 // empty: none
    bool ephemeral = false;
};

/// Holds scratch memory: one per reactor.
class PublishParser {
  public:
    PublishParser();
    ~PublishParser();
    PublishParser(const PublishParser&) = delete;
    PublishParser& operator=(const PublishParser&) = delete;

    /// Overwrites `body`, whose memory is used again, so that a stream of publishes allocates
    /// nothing. Returns what is wrong; then `body` is worth nothing. `rooms_max`: of `rooms`.
    /// Members that are not known are skipped; known ones may occur once.
    [[nodiscard]] Error parse(std::string_view text, std::size_t rooms_max, PublishBody& body);

    /// The elements of a JSON array, each as its bytes came. An error names the place, or says
    /// that there are more than `items_max`. At least 64 readable bytes follow `padded_text`.
    [[nodiscard]] std::variant<Error, std::vector<std::string_view>>
    split(std::string_view padded_text, std::size_t items_max);

  private:
    struct Scratch;
    std::unique_ptr<Scratch> scratch_;
};

} // namespace fanfare::api
