// Problem documents (RFC 9457): the one shape of every error answer.

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/http/message.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::http {
namespace {

// A detail may quote what came in; the JSON writer must not see bytes that are not UTF-8.
std::string readable(std::string text) {
    if (!is_utf8(text))
        std::replace_if(
            text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; },
            '?');
    return text;
}

Response compose(int status, const Error& error) {
    Response response;
    response.status = status;
    response.content_type = "application/problem+json";
    JsonWriter json{response.body};
    json.begin_object()
        .field("type", "about:blank")
        .field("title", reason_phrase(status))
        .key("status")
        .integer(status);
    json.field("detail", readable(error.message)).field("code", code_name(error.code));
    if (!error.field.empty()) json.field("field", readable(error.field));
    json.end_object();
    // Both say "later"; without the header a client would have to guess what that means.
    if (status == 429 || status == 503) response.headers = "Retry-After: 1\r\n";
    return response;
}

} // namespace

Response problem(const Error& error) {
    return compose(code_status(error.code), error);
}

Response problem(int status, const Error& error) {
    return compose(status, error);
}

Response problem(Code code, std::string detail) {
    return compose(code_status(code), Error{code, std::move(detail), {}});
}

Response problem(int status, Code code, std::string detail) {
    return compose(status, Error{code, std::move(detail), {}});
}

} // namespace fanfare::http
