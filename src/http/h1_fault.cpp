#include "h1_fault.hpp"

#include <fanfare/base/assert.hpp>

#include <array>

namespace fanfare::http {
namespace {

struct Row {
    errc error;
    std::string_view name;
    int status;
    Code code;
    std::string_view sentence;
};

// In the order of the enumerators.
constexpr std::array rows{
    Row{errc::none, "none", 500, Code::internal, "no fault"},
    Row{errc::malformed_request_line, "malformed_request_line", 400, Code::bad_request,
        "the request line is not \"METHOD target HTTP/1.1\""},
    Row{errc::bad_method, "bad_method", 400, Code::bad_request,
        "the method is empty or holds a character that no method may hold"},
    Row{errc::bad_target, "bad_target", 400, Code::bad_request,
        "the request target is not a path, \"*\" for OPTIONS, or an http(s) URL, or it holds a "
        "character that must be percent-encoded"},
    Row{errc::connect_refused, "connect_refused", 501, Code::bad_request,
        "CONNECT is not served: this is no proxy"},
    Row{errc::bad_version, "bad_version", 505, Code::bad_request,
        "only HTTP/1.0 and HTTP/1.1 are spoken here"},
    Row{errc::too_many_empty_lines, "too_many_empty_lines", 400, Code::bad_request,
        "too many empty lines before the request line"},
    Row{errc::bare_lf, "bare_lf", 400, Code::bad_request, "a line does not end with CR LF"},
    Row{errc::bare_cr, "bare_cr", 400, Code::bad_request, "a CR is not followed by LF"},
    Row{errc::control_character, "control_character", 400, Code::bad_request,
        "a control character is in the head"},
    Row{errc::obs_fold, "obs_fold", 400, Code::bad_request,
        "a header line begins with white space (line folding is obsolete)"},
    Row{errc::missing_colon, "missing_colon", 400, Code::bad_request, "a header line has no colon"},
    Row{errc::bad_header_name, "bad_header_name", 400, Code::bad_request,
        "a header name is empty or holds a character that no name may hold"},
    Row{errc::space_before_colon, "space_before_colon", 400, Code::bad_request,
        "white space stands between a header name and its colon"},
    Row{errc::bad_header_value, "bad_header_value", 400, Code::bad_request,
        "a header value is malformed"},
    Row{errc::head_too_large, "head_too_large", 431, Code::too_large,
        "the request line and headers are longer than this gateway takes"},
    Row{errc::missing_host, "missing_host", 400, Code::bad_request,
        "an HTTP/1.1 request needs a Host header"},
    Row{errc::duplicate_host, "duplicate_host", 400, Code::bad_request,
        "the Host header came more than once"},
    Row{errc::bad_host, "bad_host", 400, Code::bad_request,
        "the Host header is not a host with an optional port"},
    Row{errc::duplicate_header, "duplicate_header", 400, Code::bad_request,
        "a header that may come once came more than once"},
    Row{errc::bad_content_length, "bad_content_length", 400, Code::bad_request,
        "Content-Length is not a plain decimal number of bytes"},
    Row{errc::duplicate_content_length, "duplicate_content_length", 400, Code::bad_request,
        "Content-Length came more than once"},
    Row{errc::length_and_encoding, "length_and_encoding", 400, Code::bad_request,
        "Content-Length and Transfer-Encoding came together"},
    Row{errc::encoding_in_http_1_0, "encoding_in_http_1_0", 400, Code::bad_request,
        "Transfer-Encoding does not exist in HTTP/1.0"},
    Row{errc::unknown_encoding, "unknown_encoding", 501, Code::bad_request,
        "the only Transfer-Encoding served is \"chunked\""},
    Row{errc::expectation_failed, "expectation_failed", 417, Code::bad_request,
        "the only expectation met is \"100-continue\""},
    Row{errc::bad_chunk_size, "bad_chunk_size", 400, Code::bad_request,
        "a chunk size is not a hexadecimal number"},
    Row{errc::chunk_too_large, "chunk_too_large", 400, Code::bad_request,
        "a chunk size is beyond 60 bits"},
    Row{errc::bad_chunk_line, "bad_chunk_line", 400, Code::bad_request,
        "a line of the chunked body does not end with CR LF or holds a control character"},
    Row{errc::chunk_overhead, "chunk_overhead", 400, Code::bad_request,
        "the chunk extensions and trailers are longer than this gateway takes"},
    Row{errc::bad_trailer, "bad_trailer", 400, Code::bad_request,
        "a trailer line is not \"name: value\""},
    Row{errc::body_too_large, "body_too_large", 413, Code::too_large,
        "the body is larger than this call takes"},
    Row{errc::head_timeout, "head_timeout", 408, Code::bad_request,
        "the request line and headers did not arrive in time"},
    Row{errc::body_timeout, "body_timeout", 408, Code::bad_request, "the body stopped arriving"},
};

constexpr bool in_order() {
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (static_cast<std::size_t>(rows[i].error) != i) return false;
    return true;
}
static_assert(in_order());
static_assert(rows.size() == static_cast<std::size_t>(errc::body_timeout) + 1);

const Row& row(errc error) noexcept {
    const auto index = static_cast<std::size_t>(error);
    FANFARE_ASSERT(index < rows.size());
    return rows[index];
}

} // namespace

std::string_view fault_name(errc error) noexcept {
    return row(error).name;
}

int fault_status(errc error) noexcept {
    return row(error).status;
}

Response fault_response(const Fault& fault) {
    const Row& r = row(fault.error);
    std::string detail{r.sentence};
    if (!fault.place.empty()) detail += " (" + fault.place + ")";
    Response response = problem(r.status, r.code, std::move(detail));
    response.close = true;
    return response;
}

} // namespace fanfare::http
