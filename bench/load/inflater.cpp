#include "inflater.hpp"

#include <array>
#include <cstddef>
#include <new>

namespace load {
namespace {

constexpr std::size_t inflated_bytes_max = std::size_t{64} * 1024 * 1024;

} // namespace

Inflater::Inflater() {
    if (inflateInit2(&stream_, -15) != Z_OK) throw std::bad_alloc{};
}

Inflater::~Inflater() {
    inflateEnd(&stream_);
}

std::optional<std::string_view> Inflater::inflate(std::string_view payload, bool keep_context) {
    if (!keep_context) {
        if (!last_.empty() && last_ == payload) return out_;
        inflateReset(&stream_);
    }
    last_.clear();
    out_.clear();
    // The sender stripped the empty stored block that ends a flush; it is put back.
    if (!feed(payload) || !feed({"\x00\x00\xff\xff", 4})) return std::nullopt;
    if (!keep_context) last_ = payload;
    return out_;
}

bool Inflater::feed(std::string_view in) {
    std::array<unsigned char, std::size_t{16} * 1024> piece;
    // zlib's type is not const, but it never writes to its input.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    for (;;) {
        stream_.next_out = piece.data();
        stream_.avail_out = piece.size();
        const int result = ::inflate(&stream_, Z_SYNC_FLUSH);
        if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) return false;
        out_.append(reinterpret_cast<const char*>(piece.data()), piece.size() - stream_.avail_out);
        if (out_.size() > inflated_bytes_max) return false;
        // A final block is legal within a message; what follows is a new stream.
        if (result == Z_STREAM_END) inflateReset(&stream_);
        if (stream_.avail_in == 0 && stream_.avail_out > 0) return true;
        if (result == Z_BUF_ERROR) return stream_.avail_in == 0;
    }
}

} // namespace load
