#include "h1_head_reader.hpp"

#include <cstring>
#include <utility>

namespace fanfare::http {
namespace {

bool begins_with(std::string_view text, const char* with, std::size_t bytes) noexcept {
    return text.size() >= bytes && std::memcmp(text.data(), with, bytes) == 0;
}

} // namespace

bool HeadReader::repeats(std::string_view input, std::size_t head_bytes_max) noexcept {
    if (bytes_.empty()) return false;
    const char* const known = bytes_.data();
    if (length_digits_ == 0)
        return bytes_.size() <= head_bytes_max && begins_with(input, known, bytes_.size());
    if (!begins_with(input, known, length_at_)) return false;
    // 18 digits cannot overflow; a longer number is left to the parser.
    constexpr std::size_t digits_max = 18;
    std::size_t digits = 0;
    std::uint64_t length = 0;
    for (std::size_t at = length_at_; at < input.size(); ++at, ++digits) {
        const char c = input[at];
        if (c < '0' || c > '9') break;
        if (digits == digits_max) return false;
        length = length * 10 + static_cast<std::uint64_t>(c - '0');
    }
    const std::size_t tail_at = length_at_ + length_digits_;
    const std::size_t tail = bytes_.size() - tail_at;
    const std::size_t bytes = length_at_ + digits + tail;
    if (digits == 0 || bytes > head_bytes_max ||
        !begins_with(input.substr(length_at_ + digits), known + tail_at, tail))
        return false;
    head_.content_length = length;
    head_.bytes = bytes;
    return true;
}

HeadParser::Status HeadReader::read(std::string_view input, std::size_t head_bytes_max) {
    repeated_ = repeats(input, head_bytes_max);
    if (!repeated_) {
        const HeadParser::Status status = parser_.parse(input, head_bytes_max, head_);
        if (status == HeadParser::Status::need_more) return status;
        bytes_.clear();
        if (status == HeadParser::Status::fault) {
            head_.forget_views();
            return status;
        }
        bytes_.assign(input.substr(0, head_.bytes));
        head_.rebase(input.data(), bytes_.data());
        length_digits_ = head_.length_digits.size();
        if (length_digits_ != 0)
            length_at_ = static_cast<std::size_t>(head_.length_digits.data() - bytes_.data());
    }
    parser_.reset();
    return HeadParser::Status::complete;
}

void HeadReader::end_request() {
    parser_.reset();
    if (bytes_.size() > remembered_bytes_max) forget();
}

void HeadReader::forget() {
    parser_.reset();
    head_ = ParsedHead{};
    bytes_.clear();
    bytes_.shrink_to_fit();
    length_digits_ = 0;
}

} // namespace fanfare::http
