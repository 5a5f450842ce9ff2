#include "apns_token.hpp"

#include <fanfare/base/json_writer.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace fanfare::providers {
namespace {

constexpr std::size_t name_bytes = 10;

bool is_apple_name(std::string_view name) {
    return name.size() == name_bytes && std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
           });
}

void check_name(std::string_view name, const char* what) {
    if (!is_apple_name(name))
        throw std::runtime_error{std::string{what} +
                                 " must be the 10 letters and digits that Apple gave"};
}

std::string make_header(std::string_view key_id) {
    std::string out;
    JsonWriter{out}.begin_object().field("alg", "ES256").field("kid", key_id).end_object();
    return out;
}

} // namespace

ApnsToken::ApnsToken(SigningKey key, std::string_view key_id, std::string_view team_id,
                     const Clock& clock)
    : key_(std::move(key)), header_(make_header(key_id)), team_id_(team_id), clock_(clock) {
    check_name(key_id, "key_id");
    check_name(team_id, "team_id");
}

/// By either clock: the monotonic one may stand still while a machine sleeps, the other may be set.
/// One that was issued in the future is of no use either.
bool ApnsToken::is_old(const Value& value, std::chrono::milliseconds age) const {
    const std::int64_t wall_age = clock_.wall() - value.issued_at * 1'000;
    constexpr std::int64_t skew = 60'000; // a clock that is being slewed back a little
    return clock_.mono() - value.made >= age.count() || wall_age >= age.count() || wall_age < -skew;
}

bool ApnsToken::may_make() const {
    if (generations_ == 0 || clock_.mono() - made_ >= pause.count()) return true;
    return clock_.wall() - newest_iat_ * 1'000 >= std::chrono::milliseconds{dead_at}.count();
}

void ApnsToken::make() {
    auto value = std::make_shared<Value>();
    value->made = clock_.mono();
    value->issued_at = clock_.wall() / 1'000;
    value->generation = ++generations_;
    std::string claims;
    JsonWriter{claims}
        .begin_object()
        .field("iss", team_id_)
        .key("iat")
        .integer(value->issued_at)
        .end_object();
    value->authorization = "bearer " + key_.sign_token(header_, claims);
    made_ = value->made;
    newest_iat_ = value->issued_at;
    previous_ = std::exchange(current_, std::move(value));
}

ApnsToken::ValueRef ApnsToken::current() {
    const std::lock_guard lock{mutex_};
    if (!current_ || (is_old(*current_, renew_at) && may_make())) make();
    return current_;
}

bool ApnsToken::renew(std::uint64_t generation) {
    const std::lock_guard lock{mutex_};
    if (current_ && current_->generation != generation) return current_->generation > generation;
    if (!may_make()) return false;
    make();
    return true;
}

void ApnsToken::hold(std::uint64_t generation) {
    const std::lock_guard lock{mutex_};
    if (!current_ || current_->generation != generation || !previous_) return;
    if (is_old(*previous_, dead_at)) return;
    // `made_` stays: the next one waits for its 20 minutes.
    current_ = std::exchange(previous_, nullptr);
}

std::chrono::milliseconds ApnsToken::wait() const {
    const std::lock_guard lock{mutex_};
    if (may_make()) return std::chrono::milliseconds{0};
    return std::chrono::milliseconds{pause.count() - (clock_.mono() - made_)};
}

} // namespace fanfare::providers
