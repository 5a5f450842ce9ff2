#include "vapid.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>

#include <algorithm>
#include <stdexcept>

namespace fanfare::providers {
namespace {

constexpr std::string_view header = R"({"typ":"JWT","alg":"ES256"})";

SigningKey read_key(std::string_view text, std::string_view name) {
    if (text.find("-----BEGIN ") != std::string_view::npos)
        return {JoseAlgorithm::es256, text, name};
    return SigningKey::from_scalar(text, name);
}

/// Apple refuses what is no contact of anyone, with an answer that does not say so.
void check_subject(std::string_view subject) {
    const bool mail = subject.starts_with("mailto:") &&
                      subject.find('@') != std::string_view::npos && subject.size() > 9;
    const bool web = subject.starts_with("https://") && subject.size() > 8;
    if (!mail && !web)
        throw std::runtime_error{"subject must be \"mailto:\" with an address or an https: URL, a "
                                 "contact for the push services"};
    if (subject.find_first_of(" <>\"") != std::string_view::npos || has_control(subject) ||
        !is_utf8(subject))
        throw std::runtime_error{"subject must have no blanks, quotes or angle brackets"};
    if (subject.find("localhost") != std::string_view::npos)
        throw std::runtime_error{"subject must not be at localhost: Apple refuses it"};
}

} // namespace

Vapid::Vapid(std::string_view private_key, std::string_view name, std::string_view subject,
             const Clock& clock)
    : key_(read_key(private_key, name)), public_key_(key_.public_point()), subject_(subject),
      clock_(clock) {
    check_subject(subject);
}

std::shared_ptr<const std::string> Vapid::make(const std::string& origin,
                                               std::int64_t expires) const {
    std::string claims;
    JsonWriter json{claims};
    json.begin_object().field("aud", origin).key("exp").integer(expires);
    json.field("sub", subject_).end_object();
    std::string value = "vapid t=" + key_.sign_token(header, claims);
    value.append(", k=").append(to_base64url(as_byte_view(public_key_)));
    return std::make_shared<const std::string>(std::move(value));
}

void Vapid::forget_oldest() {
    const auto oldest =
        std::min_element(tokens_.begin(), tokens_.end(), [](const auto& a, const auto& b) {
            return a.second.used < b.second.used;
        });
    tokens_.erase(oldest);
}

std::shared_ptr<const std::string> Vapid::authorization(const std::string& origin) {
    const std::lock_guard lock{mutex_};
    const std::int64_t now = clock_.wall() / 1'000;
    auto found = tokens_.find(origin);
    if (found == tokens_.end()) {
        if (tokens_.size() >= origins_max) forget_oldest();
        found = tokens_.emplace(origin, Token{}).first;
    }
    Token& token = found->second;
    const std::int64_t left = token.expires - now;
    // More than its whole life: the clock has been set back since.
    constexpr std::int64_t skew = 300;
    if (left < token_seconds / 2 || left > token_seconds + skew) {
        token.expires = now + token_seconds;
        token.authorization = make(origin, token.expires);
    }
    token.used = ++uses_;
    return token.authorization;
}

std::size_t Vapid::origins() const {
    const std::lock_guard lock{mutex_};
    return tokens_.size();
}

} // namespace fanfare::providers
