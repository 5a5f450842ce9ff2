#include "h2_stream.hpp"

#include <cstring>

namespace fanfare::http {
namespace {
// Streams kept for reuse, and the largest string kept in one: bursts above that pay for their
// allocations and give the memory back.
constexpr std::size_t spare_max = 4'096;
constexpr std::size_t spare_string_max = 2'048;

void empty_string(std::string& text) {
    text.clear();
    if (text.capacity() > spare_string_max) text.shrink_to_fit();
}
} // namespace

H2Stream* H2Streams::take() {
    if (spare_.empty()) return std::make_unique<H2Stream>().release();
    H2Stream* const stream = spare_.back().release();
    spare_.pop_back();
    return stream;
}

void H2Streams::give_back(H2Stream* stream) {
    std::unique_ptr<H2Stream> owned{stream};
    if (spare_.size() == spare_max) return;
    stream->id = 0;
    stream->unsent = {};
    stream->upload_done = false;
    stream->kind = H2Answer::Kind::lost;
    stream->headed = stream->ended = stream->truncated = stream->torn = false;
    stream->finished = false;
    stream->status = 0;
    stream->reason = "";
    empty_string(stream->kept);
    empty_string(stream->head);
    empty_string(stream->body);
    stream->earlier = stream->later = stream->next = nullptr;
    spare_.push_back(std::move(owned));
}

H2Streams::~H2Streams() = default;

void pack_header(std::string& packed, std::string_view name, std::string_view value) {
    const std::uint16_t lengths[2]{static_cast<std::uint16_t>(name.size()), // NOLINT: two integers
                                   static_cast<std::uint16_t>(value.size())};
    packed.append(reinterpret_cast<const char*>(lengths), sizeof lengths); // NOLINT: bytes
    packed.append(name);
    packed.append(value);
}

std::string_view H2Answer::header(std::string_view name) const noexcept {
    std::string_view rest = packed_headers;
    while (!rest.empty()) {
        std::uint16_t lengths[2]; // NOLINT: as packed
        std::memcpy(lengths, rest.data(), sizeof lengths);
        const std::string_view key = rest.substr(sizeof lengths, lengths[0]);
        const std::string_view value = rest.substr(sizeof lengths + lengths[0], lengths[1]);
        if (key == name) return value;
        rest.remove_prefix(sizeof lengths + key.size() + value.size());
    }
    return {};
}

} // namespace fanfare::http
