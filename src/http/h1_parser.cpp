#include "h1_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>

namespace fanfare::http {
namespace {

namespace beast = boost::beast::http;
using boost::system::error_code;

/// tchar of RFC 9110 §5.6.2.
bool is_token_char(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
}

bool is_control(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

/// Lower-cases `a` only: `b` is one of our own words.
bool equals_lower(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return (x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x) == y;
    });
}

/// `line 3, header "Host"`: the line counted from 1, the name if it is fit to be shown.
std::string describe_place(std::string_view input, std::size_t line_start, bool request_line) {
    const auto before = input.substr(0, line_start);
    std::string place =
        "line " + std::to_string(1 + std::count(before.begin(), before.end(), '\n'));
    const std::string_view rest = input.substr(line_start);
    const auto not_token = std::find_if_not(rest.begin(), rest.end(), is_token_char);
    const auto length = static_cast<std::size_t>(not_token - rest.begin());
    constexpr std::size_t name_shown_max = 64;
    if (!request_line && length != 0 && length <= name_shown_max && not_token != rest.end() &&
        (*not_token == ':' || *not_token == ' ' || *not_token == '\t'))
        place += ", header \"" + std::string{rest.substr(0, length)} + "\"";
    return place;
}

/// What Beast did not like about a request line.
errc diagnose_request_line(std::string_view line) {
    if (line.find('\r') != std::string_view::npos) return errc::bare_cr;
    if (std::any_of(line.begin(), line.end(), is_control)) return errc::control_character;
    const auto method_end = line.find(' ');
    const std::string_view method = line.substr(0, method_end);
    if (method.empty() || !std::all_of(method.begin(), method.end(), is_token_char))
        return errc::bad_method;
    if (method_end == std::string_view::npos) return errc::malformed_request_line;
    const std::string_view rest = line.substr(method_end + 1);
    const auto target_end = rest.find(' ');
    if (target_end == std::string_view::npos) return errc::malformed_request_line;
    if (target_end == 0) return errc::malformed_request_line; // two spaces
    const std::string_view version = rest.substr(target_end + 1);
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (version.size() == 8 && version.starts_with("HTTP/") && digit(version[5]) &&
        version[6] == '.' && digit(version[7]))
        return errc::bad_version;
    return errc::malformed_request_line;
}

/// What Beast did not like about the syntax of a header line.
errc diagnose_header_line(std::string_view line) {
    if (line.find('\r') != std::string_view::npos) return errc::bare_cr;
    if (std::any_of(line.begin(), line.end(), is_control)) return errc::control_character;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return errc::missing_colon;
    const std::string_view name = line.substr(0, colon);
    const auto last = name.find_last_not_of(" \t");
    const std::string_view bare =
        last == std::string_view::npos ? std::string_view{} : name.substr(0, last + 1);
    if (bare.empty() || !std::all_of(bare.begin(), bare.end(), is_token_char))
        return errc::bad_header_name;
    return bare.size() != name.size() ? errc::space_before_colon : errc::bad_header_value;
}

/// Of a target: no spaces or controls (Beast), no bytes beyond ASCII, no fragment.
bool is_target_char(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x7f && c != '#';
}

/// uri-host [":" port] of RFC 3986, as far as characters go.
bool is_host(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && std::strchr("-._~%!$&'()*+,;=:[]", c) != nullptr);
    });
}

Method to_method(beast::verb verb) noexcept {
    switch (verb) {
    case beast::verb::get:
        return Method::get;
    case beast::verb::head:
        return Method::head;
    case beast::verb::post:
        return Method::post;
    case beast::verb::put:
        return Method::put;
    case beast::verb::delete_:
        return Method::delete_;
    case beast::verb::options:
        return Method::options;
    case beast::verb::patch:
        return Method::patch;
    default:
        return Method::other;
    }
}

/// How a header that comes again is treated.
enum class Repeat : std::uint8_t {
    join,    // a list: joined with ", "
    cookies, // joined with "; " (RFC 6265 §5.4)
    refuse,  // one value: two of them would let two readers disagree
};

Repeat repeat_rule(Header header) noexcept {
    switch (header) {
    case Header::accept:
    case Header::access_control_request_headers:
    case Header::connection:
    case Header::expect:
    case Header::if_none_match:
    case Header::sec_websocket_extensions:
    case Header::sec_websocket_protocol:
    case Header::upgrade:
    // Not lists, but harmless and seen doubled behind proxies.
    case Header::user_agent:
    case Header::x_request_id:
        return Repeat::join;
    case Header::cookie:
        return Repeat::cookies;
    default:
        return Repeat::refuse;
    }
}

/// Beast has found known names by a perfect hash; the few it does not know are told by length.
Header to_header(beast::field field, std::string_view name) noexcept {
    switch (field) {
    case beast::field::accept:
        return Header::accept;
    case beast::field::access_control_request_headers:
        return Header::access_control_request_headers;
    case beast::field::access_control_request_method:
        return Header::access_control_request_method;
    case beast::field::authorization:
        return Header::authorization;
    case beast::field::connection:
        return Header::connection;
    case beast::field::content_type:
        return Header::content_type;
    case beast::field::cookie:
        return Header::cookie;
    case beast::field::expect:
        return Header::expect;
    case beast::field::host:
        return Header::host;
    case beast::field::if_none_match:
        return Header::if_none_match;
    case beast::field::origin:
        return Header::origin;
    case beast::field::sec_websocket_extensions:
        return Header::sec_websocket_extensions;
    case beast::field::sec_websocket_key:
        return Header::sec_websocket_key;
    case beast::field::sec_websocket_protocol:
        return Header::sec_websocket_protocol;
    case beast::field::sec_websocket_version:
        return Header::sec_websocket_version;
    case beast::field::upgrade:
        return Header::upgrade;
    case beast::field::user_agent:
        return Header::user_agent;
    case beast::field::unknown:
        break;
    default:
        return Header::count_;
    }
    switch (name.size()) {
    case 9:
        return equals_lower(name, "x-api-key") ? Header::x_api_key : Header::count_;
    case 12:
        return equals_lower(name, "x-request-id") ? Header::x_request_id : Header::count_;
    case 13:
        return equals_lower(name, "last-event-id") ? Header::last_event_id : Header::count_;
    case 15:
        return equals_lower(name, "idempotency-key") ? Header::idempotency_key : Header::count_;
    default:
        return Header::count_;
    }
}

std::string_view view(boost::beast::string_view text) noexcept {
    return {text.data(), text.size()};
}

/// Receives what Beast read and keeps it in a ParsedHead. Uses only the head part of the parser:
/// `skip(true)` makes the message end with its head.
class Sink final : public beast::basic_parser<true> {
  public:
    Sink(ParsedHead& out, std::size_t head_bytes) : out_(out) {
        skip(true);
        header_limit(static_cast<std::uint32_t>(head_bytes + 1));
    }

    [[nodiscard]] errc error() const noexcept { return error_; }
    [[nodiscard]] bool has_length() const noexcept { return has_length_; }
    [[nodiscard]] bool has_encoding() const noexcept { return has_encoding_; }

    /// What needs all headers.
    [[nodiscard]] errc finish() {
        if (has_length_ && has_encoding_) return errc::length_and_encoding;
        if (has_encoding_ && out_.head.http_1_0) return errc::encoding_in_http_1_0;
        if (!out_.head.http_1_0 && !out_.head.has(Header::host)) return errc::missing_host;
        // RFC 9112 §3.2.2: the authority of an absolute target replaces Host.
        if (authority_.data() != nullptr) header(Header::host) = authority_;
        const std::string_view connection = out_.head[Header::connection];
        out_.keep_alive = !has_token(connection, "close") &&
                          (!out_.head.http_1_0 || has_token(connection, "keep-alive"));
        // RFC 9110 §10.1.1: an HTTP/1.0 client cannot have meant it.
        const std::string_view expect = out_.head[Header::expect];
        if (!expect.empty() && !out_.head.http_1_0) {
            if (!equals_lower(expect, "100-continue")) return errc::expectation_failed;
            out_.expects_continue = true;
        }
        return errc::none;
    }

  private:
    void on_request_impl(beast::verb verb, boost::beast::string_view method,
                         boost::beast::string_view target, int version, error_code& ec) override {
        RequestHead& head = out_.head;
        head.method = to_method(verb);
        head.http_1_0 = version == 10;
        head.target = view(target);
        if (view(method) == "CONNECT") return fail(errc::connect_refused, ec);
        if (!std::all_of(head.target.begin(), head.target.end(), is_target_char) || !split_target())
            fail(errc::bad_target, ec);
    }

    /// RFC 9112 §3.2: origin-form, absolute-form, or "*" for OPTIONS.
    bool split_target() {
        RequestHead& head = out_.head;
        std::string_view rest = head.target;
        if (rest == "*") {
            head.path = rest;
            return head.method == Method::options;
        }
        if (rest.front() != '/') {
            const auto scheme_end = rest.find("://");
            if (scheme_end == std::string_view::npos) return false;
            const std::string_view scheme = rest.substr(0, scheme_end);
            if (!equals_lower(scheme, "http") && !equals_lower(scheme, "https")) return false;
            rest.remove_prefix(scheme_end + 3);
            const auto authority_end = std::min(rest.find_first_of("/?"), rest.size());
            authority_ = rest.substr(0, authority_end);
            if (authority_.empty() || !is_host(authority_)) return false; // no user@ either
            rest.remove_prefix(authority_end);
        }
        const auto question = std::min(rest.find('?'), rest.size());
        head.path = rest.substr(0, question);
        head.query = rest.substr(std::min(question + 1, rest.size()));
        if (head.path.empty())
            head.path = head.method == Method::options && rest.empty() ? "*" : "/";
        return true;
    }

    void on_field_impl(beast::field field, boost::beast::string_view name,
                       boost::beast::string_view value, error_code& ec) override {
        if (field == beast::field::content_length) return on_length(view(value), ec);
        if (field == beast::field::transfer_encoding) return on_encoding(view(value), ec);
        const Header known = to_header(field, view(name));
        if (known == Header::count_) return;
        std::string_view& slot = header(known);
        if (slot.data() == nullptr) {
            slot = view(value);
            if (known == Header::host && !is_host(slot)) fail(errc::bad_host, ec);
            return;
        }
        const Repeat rule = repeat_rule(known);
        if (rule == Repeat::refuse)
            return fail(known == Header::host ? errc::duplicate_host : errc::duplicate_header, ec);
        join(slot, view(value), rule == Repeat::cookies ? "; " : ", ");
    }

    void join(std::string_view& slot, std::string_view value, std::string_view separator) {
        // Rare, so the list is searched; a header that comes a thousand times grows one string.
        auto text = std::find_if(out_.joined.begin(), out_.joined.end(),
                                 [&](const std::string& s) { return s.data() == slot.data(); });
        if (text == out_.joined.end()) {
            out_.joined.emplace_front(slot);
            text = out_.joined.begin();
        }
        text->append(separator).append(value);
        slot = *text;
    }

    void on_length(std::string_view value, error_code& ec) {
        if (has_length_) return fail(errc::duplicate_content_length, ec);
        has_length_ = true;
        // Beast takes "5, 5" and tells overflow and signs; what is left is digits only.
        if (value.empty()) return fail(errc::bad_content_length, ec);
        std::uint64_t length = 0;
        for (const char c : value) {
            if (c < '0' || c > '9') return fail(errc::bad_content_length, ec);
            const auto digit = static_cast<std::uint64_t>(c - '0');
            if (length > (std::numeric_limits<std::uint64_t>::max() - digit) / 10)
                return fail(errc::bad_content_length, ec);
            length = length * 10 + digit;
        }
        out_.content_length = length;
        out_.length_digits = value;
    }

    void on_encoding(std::string_view value, error_code& ec) {
        if (has_encoding_ || !equals_lower(value, "chunked"))
            return fail(out_.head.http_1_0 ? errc::encoding_in_http_1_0 : errc::unknown_encoding,
                        ec);
        has_encoding_ = true;
        out_.chunked = true;
    }

    std::string_view& header(Header which) noexcept {
        return out_.head.headers[static_cast<std::size_t>(which)];
    }
    void fail(errc error, error_code& ec) {
        error_ = error;
        ec = beast::error::bad_value;
    }

    // Never called: responses, and bodies after skip(true).
    void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(boost::beast::string_view, error_code&) override { return 0; }
    void on_chunk_header_impl(std::uint64_t, boost::beast::string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view, error_code&) override {
        return 0;
    }
    void on_finish_impl(error_code&) override {}

    ParsedHead& out_;
    std::string_view authority_; // of an absolute target
    errc error_ = errc::none;
    bool has_length_ = false;
    bool has_encoding_ = false;
};

/// Beast looks at lengths and encodings before the sink does; what the sink saw before tells which
/// of our names fits.
errc name_error(error_code ec, const Sink& sink, std::string_view line, bool request_line) {
    if (sink.error() != errc::none) return sink.error();
    if (request_line) return diagnose_request_line(line);
    if (ec == beast::error::bad_content_length || ec == beast::error::multiple_content_length) {
        if (sink.has_length()) return errc::duplicate_content_length;
        return sink.has_encoding() ? errc::length_and_encoding : errc::bad_content_length;
    }
    if (ec == beast::error::bad_transfer_encoding)
        return sink.has_encoding() ? errc::unknown_encoding : errc::length_and_encoding;
    return diagnose_header_line(line);
}

} // namespace

void ParsedHead::rebase(const char* from, const char* to) noexcept {
    const std::less_equal<const char*> before;
    const auto move = [&](std::string_view& text) {
        if (text.data() != nullptr && before(from, text.data()) &&
            before(text.data(), from + bytes))
            text = {to + (text.data() - from), text.size()};
    };
    move(head.target);
    move(head.path);
    move(head.query);
    move(length_digits);
    for (std::string_view& value : head.headers) move(value);
}

void ParsedHead::forget_views() noexcept {
    head.target = head.path = head.query = length_digits = {};
    head.headers.fill({});
    joined.clear();
}

void HeadParser::reset() noexcept {
    scanned_ = line_start_ = head_start_ = head_end_ = 0;
    empty_lines_ = 0;
    fault_.error = errc::none;
    fault_.place.clear();
}

HeadParser::Status HeadParser::line_fault(errc error, std::string_view input,
                                          std::size_t line_start) {
    fault_ = {error, describe_place(input, line_start, line_start == head_start_)};
    return Status::fault;
}

HeadParser::Status HeadParser::scan(std::string_view input, std::size_t head_bytes_max) {
    const std::string_view seen = input.substr(0, head_bytes_max);
    for (;;) {
        // Something that never was HTTP (a TLS hello) is told so at its first byte, not after the
        // timeout for a head.
        if (line_start_ == head_start_ && head_start_ < seen.size() &&
            !is_token_char(seen[head_start_]) && seen[head_start_] != '\r' &&
            seen[head_start_] != '\n')
            return line_fault(errc::bad_method, seen, head_start_);
        const auto lf = seen.find('\n', scanned_);
        if (lf == std::string_view::npos) break;
        if (lf == line_start_ || seen[lf - 1] != '\r')
            return line_fault(errc::bare_lf, seen, line_start_);
        const bool empty = lf - 1 == line_start_;
        if (empty && line_start_ != head_start_) {
            head_end_ = lf + 1;
            return Status::complete;
        }
        if (empty) {
            if (++empty_lines_ > empty_lines_max)
                return line_fault(errc::too_many_empty_lines, seen, line_start_);
            head_start_ = lf + 1;
        } else if (line_start_ != head_start_ &&
                   (seen[line_start_] == ' ' || seen[line_start_] == '\t')) {
            return line_fault(errc::obs_fold, seen, line_start_);
        }
        scanned_ = line_start_ = lf + 1;
    }
    scanned_ = seen.size();
    if (input.size() >= head_bytes_max) {
        fault_ = {errc::head_too_large, "more than " + std::to_string(head_bytes_max) + " bytes"};
        return Status::fault;
    }
    return Status::need_more;
}

HeadParser::Status HeadParser::parse(std::string_view input, std::size_t head_bytes_max,
                                     ParsedHead& out) {
    const Status scanned = scan(input, head_bytes_max);
    if (scanned == Status::fault) out = ParsedHead{};
    if (scanned != Status::complete) return scanned;
    const std::string_view head = input.substr(head_start_, head_end_ - head_start_);
    out = ParsedHead{};
    Sink sink{out, head.size()};
    error_code ec;
    const std::size_t parsed = sink.put(boost::asio::const_buffer{head.data(), head.size()}, ec);
    if (ec || !sink.is_done()) {
        // Beast has consumed what came before the line that is wrong.
        const std::string_view rest = head.substr(parsed);
        const std::string_view line = rest.substr(0, rest.find('\n') - 1);
        return line_fault(name_error(ec, sink, line, parsed == 0), input, head_start_ + parsed);
    }
    if (const errc error = sink.finish(); error != errc::none) {
        fault_ = {error, {}};
        return Status::fault;
    }
    out.bytes = head_end_;
    return Status::complete;
}

} // namespace fanfare::http
