#include "json_writer.hpp"

namespace load {
namespace {

std::string quote(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += {'\\', c};
        } else if (static_cast<unsigned char>(c) < 0x20) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            out += c;
        }
    }
    return out + '"';
}

} // namespace

void JsonWriter::begin_object(std::string_view key) {
    begin_member(key);
    text_ += '{';
    ++depth_;
    first_ = true;
}

void JsonWriter::end_object() {
    --depth_;
    if (!first_) text_ += '\n' + std::string(static_cast<std::size_t>(depth_) * 2, ' ');
    text_ += '}';
    first_ = false;
}

void JsonWriter::field(std::string_view key, std::string_view value) {
    raw(key, quote(value));
}

void JsonWriter::raw(std::string_view key, std::string_view value) {
    begin_member(key);
    text_ += value;
}

void JsonWriter::begin_member(std::string_view key) {
    if (key.empty()) return;
    text_ += first_ ? "\n" : ",\n";
    first_ = false;
    text_ += std::string(static_cast<std::size_t>(depth_) * 2, ' ') + quote(key) + ": ";
}

} // namespace load
