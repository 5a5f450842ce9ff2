#pragma once
// Bytes on their way out: appended at one end, written from the other. Emptied in one go as a rule;
// what a slow peer leaves is moved to the front now and then, not each time.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare::http {

class OutBytes {
  public:
    void append(std::string_view bytes) { bytes_.append(bytes); }
    [[nodiscard]] std::string_view unsent() const noexcept {
        return std::string_view{bytes_}.substr(sent_);
    }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size() - sent_; }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /// `bytes` of `unsent` are gone.
    void consume(std::size_t bytes) {
        sent_ += bytes;
        gone_ += bytes;
        if (sent_ == bytes_.size() || sent_ >= compact_bytes) {
            bytes_.erase(0, sent_);
            sent_ = 0;
        }
    }
    /// Bytes that are gone, and bytes that ever came: places in the stream.
    [[nodiscard]] std::uint64_t gone() const noexcept { return gone_; }
    [[nodiscard]] std::uint64_t end() const noexcept { return gone_ + size(); }

  private:
    static constexpr std::size_t compact_bytes = std::size_t{64} * 1024;
    std::string bytes_;
    std::size_t sent_ = 0; // at the front of bytes_
    std::uint64_t gone_ = 0;
};

} // namespace fanfare::http
