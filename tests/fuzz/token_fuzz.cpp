// A token, any bytes at all: none verifies but those that were signed, and the readers behind the
// signature stand any text too.

#include "claims.hpp"
#include "json_object.hpp"
#include "jwt.hpp"

#include <fanfare/auth/token_issuer.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_check.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::auth;

namespace {

constexpr std::int64_t now = 1'767'225'600;

void expect(bool promise) {
    if (!promise) std::abort();
}

struct FixedClock final : Clock {
    [[nodiscard]] MonoMillis mono() const noexcept override { return 1'000; }
    [[nodiscard]] WallMillis wall() const noexcept override { return now * 1'000; }
};

JwtOptions options() {
    JwtOptions made;
    made.algorithms = {Algorithm::hs256};
    made.secret = "0123456789abcdef0123456789abcdef";
    return made;
}

/// What was signed, and nothing else, verifies. The same texts are among the seeds.
std::vector<std::string> good_tokens() {
    Claims plain;
    plain.sub = "u1";
    plain.issued_at = now - 60;
    plain.expires = now + 3'600;
    Claims full = plain;
    full.subscribe = {"chat:*"};
    full.publish = {"chat:42"};
    full.info = R"({"name":"é"})";
    full.device = "d1";
    return {issue_token(options(), plain).value(), issue_token(options(), full).value()};
}

void check_identity(const session::Identity& who) {
    expect(!who.user.empty() && who.user.size() <= 255);
    expect(is_utf8(who.user) && !has_control(who.user));
    expect(who.info.empty() || !check_json(who.info));
    expect(who.closes > now && who.closes >= who.expires);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const FixedClock clock;
    static const JwtVerifier verifier{options(), clock};
    static const std::vector<std::string> good = good_tokens();
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    const std::string text{reinterpret_cast<const char*>(data), size};

    const auto identity = verifier.verify(text);
    const bool known = std::find(good.begin(), good.end(), text) != good.end();
    expect(identity.has_value() == known);
    if (identity) check_identity(**identity);

    const auto object = JsonObject::parse(text);
    if (object) {
        expect(!check_json(text));
        const JsonValue* const sub = object->find("sub");
        if (sub != nullptr) expect(!check_json(sub->raw));
    }
    const auto list = parse_string_list(text);
    if (list) {
        expect(!check_json(text));
        for (const std::string& element : *list) expect(is_utf8(element));
    }
    // As if it had been signed.
    const auto claims = read_claims(text, options(), now * 1'000);
    if (claims) {
        expect(object.has_value());
        check_identity(*claims);
    }
    return 0;
}
