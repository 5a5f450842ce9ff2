#include "deflate_offer.hpp"

#include "header_list.hpp"

#include <optional>

namespace fanfare::ws {

namespace {

// Reads the header from left to right. Every read function either takes what it names, or leaves
// the text where it was.
class Cursor {
  public:
    explicit Cursor(std::string_view text) : rest_(text) {}

    [[nodiscard]] bool at_end() const { return rest_.empty(); }
    void skip_white() {
        while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t'))
            rest_.remove_prefix(1);
    }
    [[nodiscard]] bool take(char c) {
        skip_white();
        if (rest_.empty() || rest_.front() != c) return false;
        rest_.remove_prefix(1);
        return true;
    }
    [[nodiscard]] std::optional<std::string> token() {
        skip_white();
        std::size_t size = 0;
        while (size < rest_.size() && is_token_char(rest_[size])) ++size;
        if (size == 0) return std::nullopt;
        std::string result{rest_.substr(0, size)};
        rest_.remove_prefix(size);
        return result;
    }
    // A value is a token, or a quoted string that is one when unquoted (RFC 6455 §9.1).
    [[nodiscard]] std::optional<std::string> value() {
        skip_white();
        if (rest_.empty() || rest_.front() != '"') return token();
        std::string result;
        for (std::size_t i = 1; i < rest_.size(); ++i) {
            if (rest_[i] == '"') {
                if (result.empty()) return std::nullopt;
                rest_.remove_prefix(i + 1);
                return result;
            }
            if (rest_[i] == '\\' && ++i == rest_.size()) return std::nullopt;
            if (!is_token_char(rest_[i])) return std::nullopt;
            result += rest_[i];
        }
        return std::nullopt;
    }
    // To the comma that ends the element, past quoted ones, or to the end.
    void skip_element() {
        bool quoted = false;
        while (!rest_.empty() && (quoted || rest_.front() != ',')) {
            if (quoted && rest_.front() == '\\' && rest_.size() > 1)
                rest_.remove_prefix(1);
            else if (rest_.front() == '"')
                quoted = !quoted;
            rest_.remove_prefix(1);
        }
    }

  private:
    std::string_view rest_;
};

struct Parameters {
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    bool client_max_window_bits = false;
    int server_max_window_bits = 0; // 0: not offered
};

// 8–15 in decimal without leading zeros (RFC 7692 §7.1.2), else nothing.
std::optional<int> window_bits(const std::string& value) {
    if (value == "8") return 8;
    if (value == "9") return 9;
    if (value.size() == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5')
        return 10 + (value[1] - '0');
    return std::nullopt;
}

// Sets a flag that may be set once.
bool set_once(bool& flag) {
    const bool first = !flag;
    flag = true;
    return first;
}

bool apply(const std::string& name, const std::optional<std::string>& value, Parameters& to) {
    if (name == "server_no_context_takeover")
        return !value && set_once(to.server_no_context_takeover);
    if (name == "client_no_context_takeover")
        return !value && set_once(to.client_no_context_takeover);
    if (name == "client_max_window_bits")
        return (!value || window_bits(*value)) && set_once(to.client_max_window_bits);
    if (name == "server_max_window_bits") {
        const auto bits = value ? window_bits(*value) : std::nullopt;
        if (!bits || to.server_max_window_bits != 0) return false;
        to.server_max_window_bits = *bits;
        return true;
    }
    return false;
}

// One element up to its comma; nothing if it is to be declined.
std::optional<Parameters> read_element(Cursor& in) {
    const auto name = in.token();
    if (name != "permessage-deflate") return std::nullopt;
    Parameters parameters;
    while (in.take(';')) {
        const auto parameter = in.token();
        if (!parameter) return std::nullopt;
        std::optional<std::string> value;
        if (in.take('=') && !(value = in.value())) return std::nullopt;
        if (!apply(*parameter, value, parameters)) return std::nullopt;
    }
    in.skip_white();
    return parameters;
}

// server_max_window_bits must be echoed where it is accepted (RFC 7692 §7.1.2.1).
// client_max_window_bits need not be: our inflater takes any window.
DeflateAgreement accept(const Parameters& parameters) {
    DeflateAgreement agreement;
    agreement.agreed = true;
    agreement.response = "permessage-deflate; server_no_context_takeover; "
                         "client_no_context_takeover";
    const int bits = parameters.server_max_window_bits;
    agreement.send = bits == 0 || bits == 15;
    if (bits != 0) agreement.response += "; server_max_window_bits=" + std::to_string(bits);
    return agreement;
}

} // namespace

DeflateAgreement negotiate_deflate(std::string_view offers) {
    Cursor in{offers};
    while (!in.at_end()) {
        const auto parameters = read_element(in);
        if (parameters && (in.at_end() || in.take(','))) return accept(*parameters);
        in.skip_element();
        if (!in.take(',')) break;
    }
    return {};
}

} // namespace fanfare::ws
