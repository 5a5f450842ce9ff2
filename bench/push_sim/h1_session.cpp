#include "h1_session.hpp"

#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace sim {
namespace {

constexpr std::size_t head_bytes_max = 64 * 1024;
constexpr std::string_view line_end = "\r\n";

std::string_view trimmed(std::string_view text) {
    const std::size_t start = text.find_first_not_of(" \t");
    if (start == text.npos) return {};
    return text.substr(start, text.find_last_not_of(" \t") - start + 1);
}

std::string_view phrase_of(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 410:
        return "Gone";
    case 413:
        return "Content Too Large";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

} // namespace

H1Session::H1Session(Carrier& carrier, Desk& desk, Peer& peer)
    : carrier_(carrier), desk_(desk), peer_(peer), exchange_(desk.take_exchange()) {}

bool H1Session::receive(std::string_view bytes) {
    in_.append(bytes);
    while (!ending_ && state_ != State::judged && advance()) {
    }
    return !ending_;
}

/// One step; false when it needs more input.
bool H1Session::advance() {
    switch (state_) {
    case State::head:
        return read_head();
    case State::body:
        return read_body();
    case State::chunk:
    case State::trailer:
        return read_line_of_chunks();
    case State::judged:
        return false;
    }
    return false;
}

bool H1Session::read_head() {
    const std::size_t end = in_.find("\r\n\r\n");
    if (end == std::string::npos) {
        if (in_.size() > head_bytes_max) refuse(431, "the head is too long");
        return false;
    }
    const std::string head = in_.substr(0, end + 2);
    in_.erase(0, end + 4);
    const std::size_t line = head.find(line_end);
    const std::string_view request_line = std::string_view{head}.substr(0, line);
    const std::size_t first = request_line.find(' ');
    const std::size_t last = request_line.rfind(' ');
    if (first == request_line.npos || first == last ||
        request_line.substr(last + 1) != "HTTP/1.1") {
        refuse(400, "not a request line of HTTP/1.1");
        return false;
    }
    exchange_->stream = ++requests_;
    exchange_->request.method = request_line.substr(0, first);
    exchange_->request.path = request_line.substr(first + 1, last - first - 1);
    exchange_->request.scheme = peer_.secure ? "https" : "http";
    if (!read_fields(std::string_view{head}.substr(line + 2))) return false;
    if (desk_.drops(DropAt::headers)) {
        carrier_.drop();
        return false;
    }
    const HeaderList& headers = exchange_->request.headers;
    if (equal_without_case(headers.get("expect"), "100-continue")) {
        out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    }
    if (state_ == State::body && remaining_ == 0) complete();
    return true;
}

bool H1Session::read_fields(std::string_view lines) {
    HeaderList& headers = exchange_->request.headers;
    while (!lines.empty()) {
        const std::size_t end = lines.find(line_end);
        const std::string_view line = lines.substr(0, end);
        lines.remove_prefix(end + 2);
        const std::size_t colon = line.find(':');
        if (colon == line.npos || colon == 0) {
            refuse(400, "a header field without a name");
            return false;
        }
        std::string name{line.substr(0, colon)};
        std::transform(name.begin(), name.end(), name.begin(), [](char c) {
            return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        });
        headers.add(name, trimmed(line.substr(colon + 1)));
    }
    exchange_->request.authority = headers.get("host");
    close_ = equal_without_case(headers.get("connection"), "close");
    chunked_ = equal_without_case(headers.get("transfer-encoding"), "chunked");
    state_ = chunked_ ? State::chunk : State::body;
    remaining_ = 0;
    if (chunked_ || headers.count("content-length") == 0) return true;
    const auto length = to_number(headers.get("content-length"));
    if (!length) {
        refuse(400, "Content-Length is no number");
        return false;
    }
    remaining_ = static_cast<std::size_t>(*length);
    return true;
}

bool H1Session::read_body() {
    if (in_.empty()) return false;
    std::string& body = exchange_->request.body;
    const std::size_t n = std::min(remaining_, in_.size());
    const std::size_t kept = std::min(n, body_bytes_max - body.size());
    exchange_->too_large = exchange_->too_large || kept < n;
    body.append(in_, 0, kept);
    in_.erase(0, n);
    remaining_ -= n;
    if (remaining_ > 0) return false;
    if (!chunked_) {
        complete();
    } else {
        state_ = State::chunk;
    }
    return true;
}

/// A size line, the empty line behind a chunk's data, or a line of the trailer.
bool H1Session::read_line_of_chunks() {
    const std::size_t end = in_.find(line_end);
    if (end == std::string::npos) {
        if (in_.size() > head_bytes_max) refuse(400, "a line of the chunks is too long");
        return false;
    }
    const std::string line = in_.substr(0, end);
    in_.erase(0, end + 2);
    if (state_ == State::trailer) {
        if (line.empty()) complete();
        return true;
    }
    if (line.empty()) return true;
    const auto [rest, error] =
        std::from_chars(line.data(), line.data() + line.size(), remaining_, 16);
    if (error != std::errc{} || rest == line.data()) {
        refuse(400, "a chunk without a size");
        return false;
    }
    state_ = remaining_ == 0 ? State::trailer : State::body;
    return true;
}

void H1Session::complete() {
    state_ = State::judged;
    exchange_->state = Exchange::State::waiting;
    if (desk_.drops(DropAt::body)) return carrier_.drop();
    desk_.decide(*exchange_, peer_);
    if (exchange_->answer.delay > Duration::zero()) {
        return carrier_.schedule(exchange_->answer.delay, exchange_->stream);
    }
    answer();
}

void H1Session::answer() {
    const Answer& answer = exchange_->answer;
    if (answer.deed == Deed::never) return;
    if (answer.deed != Deed::answer) return carrier_.drop();
    fmt::format_to(std::back_inserter(out_), "HTTP/1.1 {} {}\r\n", answer.status,
                   phrase_of(answer.status));
    for (std::size_t i = 0; i < answer.headers.size(); ++i) {
        const auto [name, value] = answer.headers[i];
        fmt::format_to(std::back_inserter(out_), "{}: {}\r\n", name, value);
    }
    // A script's After::close comes without notice: that is the race it is for.
    fmt::format_to(std::back_inserter(out_), "content-length: {}\r\n{}\r\n", answer.body.size(),
                   close_ ? "connection: close\r\n" : "");
    if (exchange_->request.method != "HEAD") out_ += answer.body;
    exchange_->state = Exchange::State::answered;
    desk_.answered(peer_, *exchange_);
    ending_ = close_ || answer.after != After::stay;
    exchange_->clear();
    state_ = State::head;
}

void H1Session::refuse(int status, std::string_view text) {
    fmt::format_to(std::back_inserter(out_),
                   "HTTP/1.1 {} {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n"
                   "connection: close\r\n\r\n{}",
                   status, phrase_of(status), text.size(), text);
    ending_ = true;
}

void H1Session::produce(std::string& out) {
    if (!desk_.settings.split) {
        out.append(out_);
        out_.clear();
        return;
    }
    const std::size_t piece = std::min<std::size_t>(out_.size(), 16);
    out.append(out_, 0, piece);
    out_.erase(0, piece);
}

void H1Session::on_due(std::int32_t what) {
    if (state_ != State::judged || exchange_->stream != what) return;
    answer();
    while (!ending_ && state_ != State::judged && advance()) {
    }
}

void H1Session::on_command(const Command& command) {
    // HTTP/1.1 has no way to say that a request was not processed: the connection ends.
    const bool ends =
        command.kind == Command::Kind::goaway || command.kind == Command::Kind::reset_streams;
    if (ends) carrier_.drop();
}

void H1Session::abandon(std::string_view fate) {
    if (exchange_->state == Exchange::State::waiting) desk_.unanswered(peer_, *exchange_, fate);
    exchange_->clear();
}

} // namespace sim
