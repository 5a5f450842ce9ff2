#pragma once
// API keys of backends and operators: who presents one, and what it may do (docs/protocol.md §4).
//
// Keys are random and long, so their plain SHA-256 is kept, and a presented text is hashed once and
// compared with all of them, without an early exit: time tells nothing about which one was near.

#include <fanfare/auth/options.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/http/message.hpp>

#include <string_view>
#include <vector>

namespace fanfare::auth {

[[nodiscard]] std::string_view scope_name(Scope scope) noexcept;
[[nodiscard]] constexpr bool has_scope(const ApiKeyOptions& key, Scope scope) noexcept {
    return (key.scopes & static_cast<std::uint8_t>(scope)) != 0;
}

/// Immutable, so that all reactors may share one; a reload makes a new one.
class ApiKeys {
  public:
    explicit ApiKeys(std::vector<ApiKeyOptions> keys);

    /// The key whose text was presented; null if it is none of ours. Lives as long as this object.
    [[nodiscard]] const ApiKeyOptions* find(std::string_view presented) const;

    struct Caller {
        const ApiKeyOptions* key = nullptr; // null: `error` says why
        Error error;
    };
    /// The key of `X-API-Key`, or without that header of `Authorization: Bearer`; else
    /// unauthorized.
    [[nodiscard]] Caller authenticate(const http::RequestHead& head) const;
    /// The same, and forbidden if the key lacks the scope.
    [[nodiscard]] Caller authenticate(const http::RequestHead& head, Scope scope) const;

  private:
    std::vector<ApiKeyOptions> keys_;
};

} // namespace fanfare::auth
