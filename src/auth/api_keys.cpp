#include <fanfare/auth/api_keys.hpp>
#include <fanfare/base/bytes.hpp>

#include <string>
#include <utility>

namespace fanfare::auth {
namespace {

// Our own keys have about 50 bytes. What is longer is no key, and is not worth hashing.
constexpr std::size_t presented_bytes_max = 512;

} // namespace

std::string_view scope_name(Scope scope) noexcept {
    switch (scope) {
    case Scope::publish:
        return "publish";
    case Scope::read:
        return "read";
    case Scope::notify:
        return "notify";
    case Scope::admin:
        break;
    }
    return "admin";
}

ApiKeys::ApiKeys(std::vector<ApiKeyOptions> keys) : keys_(std::move(keys)) {}

const ApiKeyOptions* ApiKeys::find(std::string_view presented) const {
    if (presented.empty() || presented.size() > presented_bytes_max) return nullptr;
    // No cache of texts seen: hash and compare cost 0.3 µs, and secrets would stay in
    // memory.
    const std::string hash = sha256(presented);
    const ApiKeyOptions* found = nullptr;
    for (const ApiKeyOptions& key : keys_)
        if (equal_constant_time(key.sha256, hash)) found = &key;
    return found;
}

ApiKeys::Caller ApiKeys::authenticate(const http::RequestHead& head) const {
    const std::string_view presented = head.has(http::Header::x_api_key)
                                           ? head[http::Header::x_api_key]
                                           : http::bearer_token(head);
    if (presented.empty())
        return {
            nullptr,
            {Code::unauthorized, "an API key is needed: X-API-Key or Authorization: Bearer", {}}};
    if (const ApiKeyOptions* const key = find(presented)) return {key, {}};
    return {nullptr, {Code::unauthorized, "the API key is not known", {}}};
}

ApiKeys::Caller ApiKeys::authenticate(const http::RequestHead& head, Scope scope) const {
    Caller caller = authenticate(head);
    if (caller.key == nullptr || has_scope(*caller.key, scope)) return caller;
    return {nullptr,
            {Code::forbidden,
             "the API key lacks the scope `" + std::string{scope_name(scope)} + "`",
             {}}};
}

} // namespace fanfare::auth
