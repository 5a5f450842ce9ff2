// Google's token endpoint: a service account's signed assertion for a bearer token (RFC 7523).
#include "jose.hpp"
#include "service.hpp"
#include "text.hpp"
#include "world.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

namespace sim {
namespace {

constexpr std::string_view google_audience = "https://oauth2.googleapis.com/token";
constexpr std::string_view scopes[] = {"https://www.googleapis.com/auth/firebase.messaging",
                                       "https://www.googleapis.com/auth/cloud-platform"};

struct Fault {
    std::string_view error;
    std::string_view description;
};

bool has_scope(std::string_view list) {
    for (const std::string_view scope : scopes) {
        if (list.find(scope) != list.npos) return true;
    }
    return false;
}

class OAuth final : public Service {
  public:
    explicit OAuth(World& world) : world_(world), options_(world.options) {
        if (!options_.oauth_key.empty()) key_ = PublicKey::from_pem(options_.oauth_key);
    }

    void judge(Exchange& exchange, Peer& peer, const Settings& settings) override {
        const Request& request = exchange.request;
        if (request.path != "/token") return fail(exchange, 404, "invalid_request", "no such path");
        if (request.method != "POST") {
            return fail(exchange, 405, "invalid_request", "the method is POST");
        }
        if (!request.headers.get("content-type").starts_with("application/x-www-form-urlencoded")) {
            return fail(exchange, 400, "invalid_request",
                        "the content type is application/x-www-form-urlencoded");
        }
        if (form_value(request.body, "grant_type") !=
            "urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return fail(exchange, 400, "unsupported_grant_type", "the grant type is jwt-bearer");
        }
        const auto assertion = form_value(request.body, "assertion");
        const auto token = parse_jwt(assertion.value_or(""));
        if (!token) return fail(exchange, 400, "invalid_grant", "the assertion is no JWT");
        exchange.target = token->iss;
        const std::string own =
            fmt::format("{}://{}/token", peer.secure ? "https" : "http", request.authority);
        if (const auto [error, description] = fault(*token, own); !error.empty()) {
            return fail(exchange, 400, error, description);
        }
        lifetime_ = settings.expires_in;
    }

    void say(const Step& step, Exchange& exchange, Peer& /*peer*/,
             const Settings& /*settings*/) override {
        const int status = step.status == 0 ? 400 : step.status;
        if (status < 300) return;
        if (step.form == "html") {
            exchange.answer.status = status;
            exchange.answer.headers.add("content-type", "text/html; charset=UTF-8");
            exchange.answer.body = "<!DOCTYPE html><title>Error</title><p>That's an error.</p>";
            return;
        }
        const std::string_view usual = status >= 500   ? "internal_failure"
                                       : status == 429 ? "temporarily_unavailable"
                                                       : "invalid_grant";
        fail(exchange, status, step.reason.empty() ? usual : step.reason, "as the script says");
    }

    void accepted(Exchange& exchange) override {
        // A text in quotes is a numeric string, as some servers send it.
        const std::string digits = lifetime_.starts_with('"') ? lifetime_.substr(1) : lifetime_;
        const long seconds = digits.empty() ? 3600 : std::strtol(digits.c_str(), nullptr, 10);
        const std::string token =
            world_.access_tokens.issue(world_.unscaled(std::chrono::seconds(seconds)));
        Answer& answer = exchange.answer;
        answer.headers.add("content-type", "application/json; charset=utf-8");
        answer.headers.add("cache-control", "no-store");
        answer.body =
            fmt::format(R"({{"access_token":"{}",{}"token_type":"Bearer"}})", token,
                        lifetime_.empty() ? "" : fmt::format(R"("expires_in":{},)", lifetime_));
    }

  private:
    Fault fault(const Jwt& token, std::string_view own_address) const {
        if (token.alg != "RS256") return {"invalid_grant", "alg is RS256"};
        if (key_ && !key_->verify_rs256(token)) return {"invalid_grant", "Invalid JWT Signature."};
        if (token.iss.empty() ||
            (!options_.oauth_issuer.empty() && token.iss != options_.oauth_issuer)) {
            return {"invalid_grant", "Invalid grant: account not found"};
        }
        const bool good_audience = options_.oauth_audience.empty()
                                       ? token.aud == google_audience || token.aud == own_address
                                       : token.aud == options_.oauth_audience;
        if (!good_audience) return {"invalid_grant", "aud is not this endpoint"};
        if (!has_scope(token.scope)) return {"invalid_scope", "no scope of messaging"};
        constexpr double leeway_s = 10;
        const double now = static_cast<double>(wall_ms()) / 1000;
        if (!token.iat || !token.exp) return {"invalid_grant", "iat and exp are numbers"};
        if (*token.iat > now + leeway_s) return {"invalid_grant", "iat is in the future"};
        if (*token.exp <= now) return {"invalid_grant", "exp is past"};
        if (*token.exp - *token.iat > 3600) return {"invalid_grant", "exp is over an hour ahead"};
        return {};
    }

    static void fail(Exchange& exchange, int status, std::string_view error,
                     std::string_view description) {
        exchange.answer.status = status;
        exchange.answer.headers.add("content-type", "application/json; charset=utf-8");
        exchange.answer.body = fmt::format(R"({{"error":{},"error_description":{}}})",
                                           json_text(error), json_text(description));
    }

    World& world_;
    const Options& options_;
    std::optional<PublicKey> key_;
    std::string lifetime_; // of the settings that judge() saw
};

} // namespace

std::unique_ptr<Service> make_oauth(World& world) {
    return std::make_unique<OAuth>(world);
}

} // namespace sim
