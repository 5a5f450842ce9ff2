#pragma once
// Events as an EventSource reads them (WHATWG HTML, "server-sent events") and the chunk around
// them (RFC 9112 §7.1). No I/O.

#include <cstddef>
#include <string>
#include <string_view>

namespace fanfare::protocols {

/// Appends the lines before the payload; each of `id` and `event` is left out where it is empty.
/// Both come from checked text: a line end or NUL in them would be a field of its own.
void append_sse_head(std::string& out, std::string_view id, std::string_view event);

/// Appends a whole event; `data` as append_sse_data does.
void append_sse_event(std::string& out, std::string_view id, std::string_view event,
                      std::string_view json);

/// True if JSON text has raw line ends (between its tokens: in strings they are escaped).
[[nodiscard]] bool has_line_end(std::string_view json) noexcept;

/// Appends `json` as the rest of a `data: ` line that has begun. Where it has line ends, the next
/// `data: ` line begins: the client joins lines with LF, which is white space for JSON too.
void append_sse_data(std::string& out, std::string_view json);

/// Bytes of `<hex size>\r\n`, which goes before a chunk of `size` bytes.
[[nodiscard]] std::size_t chunk_head_size(std::size_t size) noexcept;
/// Writes it to `to`, which has room for chunk_head_size(size) bytes. Returns the end.
char* write_chunk_head(char* to, std::size_t size) noexcept;
/// What goes after it.
inline constexpr std::string_view chunk_tail = "\r\n";
/// Appends `bytes` as one chunk. Not empty: an empty chunk ends the body.
void append_chunk(std::string& out, std::string_view bytes);

} // namespace fanfare::protocols
