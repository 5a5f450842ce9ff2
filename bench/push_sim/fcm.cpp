// FCM HTTP v1: sending, the topic calls of both kinds, and every shape of error that was seen.
#include "fcm_message.hpp"
#include "service.hpp"
#include "text.hpp"
#include "world.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <set>
#include <string_view>

namespace sim {
namespace {

constexpr std::string_view fcm_error_type = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
constexpr std::string_view bad_token_text =
    "The registration token is not a valid FCM registration token";

/// An error code with the HTTP status and the canonical status that carry it.
struct Code {
    std::string_view code;
    int http;
    std::string_view status;
    std::string_view message;
};
constexpr std::array codes{
    Code{"UNREGISTERED", 404, "NOT_FOUND", "Requested entity was not found."},
    Code{"INVALID_ARGUMENT", 400, "INVALID_ARGUMENT", bad_token_text},
    Code{"SENDER_ID_MISMATCH", 403, "PERMISSION_DENIED", "SenderId mismatch"},
    Code{"QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED", "Resource has been exhausted."},
    Code{"UNAVAILABLE", 503, "UNAVAILABLE", "The service is currently unavailable."},
    Code{"INTERNAL", 500, "INTERNAL", "Internal error encountered."},
    Code{"THIRD_PARTY_AUTH_ERROR", 401, "UNAUTHENTICATED",
         "Auth error from APNS or Web Push Service"},
    Code{"UNSPECIFIED_ERROR", 500, "UNKNOWN", "Unknown error."}};

const Code& code_named(std::string_view name) {
    for (const Code& code : codes) {
        if (code.code == name) return code;
    }
    return codes.back();
}

const Code& code_of(int http) {
    for (const Code& code : codes) {
        if (code.http == http) return code;
    }
    return codes.back();
}

std::string fcm_detail(std::string_view code) {
    return fmt::format(R"({{"@type":"{}","errorCode":"{}"}})", fcm_error_type, code);
}

std::string apns_detail(int status, std::string_view reason) {
    return fmt::format(
        R"({{"@type":"type.googleapis.com/google.firebase.fcm.v1.ApnsError","statusCode":{},"reason":"{}"}})",
        status, reason);
}

std::string violation_detail(std::string_view field, std::string_view description) {
    return fmt::format(
        R"({{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"field":{},"description":{}}}]}})",
        json_text(field), json_text(description));
}

std::string info_detail(std::string_view reason) {
    return fmt::format(
        R"({{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{}","domain":"googleapis.com","metadata":{{"service":"fcm.googleapis.com"}}}})",
        reason);
}

void write_json(Exchange& exchange, int http, std::string body) {
    exchange.answer.status = http;
    exchange.answer.headers.add("content-type", "application/json; charset=UTF-8");
    exchange.answer.body = std::move(body);
}

/// `details`: the list's members, or empty for none.
void fail(Exchange& exchange, int http, std::string_view status, std::string_view message,
          std::string_view details) {
    write_json(exchange, http,
               fmt::format(R"({{"error":{{"code":{},"message":{},"status":"{}"{}}}}})", http,
                           json_text(message), status,
                           details.empty() ? "" : fmt::format(",\"details\":[{}]", details)));
}

void fail_in_html(Exchange& exchange, int http) {
    exchange.answer.status = http;
    exchange.answer.headers.add("content-type", "text/html; charset=UTF-8");
    exchange.answer.body = fmt::format("<!DOCTYPE html><html lang=en><title>Error "
                                       "{0}</title><p><b>{0}.</b> That's an error.</html>",
                                       http);
}

/// The answers that mislead senders. False if there is none of that name.
bool say_trap(std::string_view trap, int http, Exchange& exchange) {
    const Code& code = code_of(http);
    if (trap == "no_fcm_error") {
        fail(exchange, http, code.status, code.message, "");
    } else if (trap == "html") {
        fail_in_html(exchange, http);
    } else if (trap == "text") {
        exchange.answer.status = http;
        exchange.answer.headers.add("content-type", "text/plain");
        exchange.answer.body = "upstream connect error";
    } else if (trap == "empty") {
        exchange.answer.status = http;
    } else if (trap == "odd_details") {
        const std::string details =
            R"({"@type":"type.example.com/unknown","errorCode":"NOT_THIS"},{},)" +
            info_detail("SOMETHING") + "," + fcm_detail(code.code);
        fail(exchange, http, code.status, code.message, details);
    } else if (trap == "access_token_expired") {
        fail(exchange, 401, "UNAUTHENTICATED", "Request had invalid authentication credentials.",
             info_detail("ACCESS_TOKEN_EXPIRED"));
    } else if (trap == "permission_denied") {
        fail(exchange, 403, "PERMISSION_DENIED",
             "Permission 'cloudmessaging.messages.create' denied",
             info_detail("IAM_PERMISSION_DENIED"));
    } else if (trap == "apns_key") {
        fail(exchange, 401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service",
             apns_detail(403, "InvalidProviderToken") + "," + fcm_detail("THIRD_PARTY_AUTH_ERROR"));
    } else if (trap == "apns_unregistered") {
        fail(exchange, 400, "INVALID_ARGUMENT", "APNs device token is disabled.",
             fcm_detail("INVALID_ARGUMENT") + "," + apns_detail(410, "Unregistered"));
    } else if (trap == "unregistered_with_apns") {
        fail(exchange, 404, "NOT_FOUND", "Requested entity was not found.",
             apns_detail(410, "Unregistered") + "," + fcm_detail("UNREGISTERED"));
    } else if (trap == "bad_request_only") {
        fail(exchange, 400, "INVALID_ARGUMENT", bad_token_text,
             violation_detail("message.token", "Invalid registration token"));
    } else if (trap == "bad_value") {
        fail(exchange, 400, "INVALID_ARGUMENT", "Invalid value at 'message.data[0].value'",
             fcm_detail("INVALID_ARGUMENT") + "," +
                 violation_detail("message.data[0].value", "Invalid value (TYPE_STRING)"));
    } else if (trap == "quota_failure") {
        fail(
            exchange, 429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric",
            R"({"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"project","description":"Messages per minute"}]},)" +
                fcm_detail("QUOTA_EXCEEDED"));
    } else if (trap == "unparsable_success") {
        exchange.answer.status = 200;
        exchange.answer.body = "{\"name\":";
    } else {
        return false;
    }
    return true;
}

class Fcm final : public Service {
  public:
    explicit Fcm(World& world) : world_(world), options_(world.options) {}

    void judge(Exchange& exchange, Peer& /*peer*/, const Settings& settings) override {
        const Request& request = exchange.request;
        const std::string_view path = request.path;
        if (path.starts_with("/iid/v1:batch")) return batch_topics(exchange);
        constexpr std::string_view prefix = "/v1/projects/";
        const std::size_t project_end = path.find('/', prefix.size());
        if (!path.starts_with(prefix) || project_end == path.npos)
            return fail_in_html(exchange, 404);
        const std::string_view project = path.substr(prefix.size(), project_end - prefix.size());
        if (!options_.fcm_project.empty() && project != options_.fcm_project) {
            return fail(exchange, 404, "NOT_FOUND", "Requested entity was not found.", "");
        }
        const std::string_view rest = path.substr(project_end + 1);
        if (!credential_is_good(exchange)) return;
        if (rest.starts_with("registrations/")) return one_topic(rest, exchange);
        if (rest != "messages:send") return fail_in_html(exchange, 404);
        if (request.method != "POST") return fail_in_html(exchange, 405);
        send(project, exchange, settings);
    }

    void say(const Step& step, Exchange& exchange, Peer& /*peer*/,
             const Settings& /*settings*/) override {
        const int http = step.status != 0 ? step.status : code_named(step.reason).http;
        if (http >= 300 || !step.form.empty()) {
            exchange.answer.headers.clear();
            exchange.answer.body.clear();
        }
        if (!step.form.empty() && say_trap(step.form, http, exchange)) return;
        if (http < 300) return;
        const Code& code = step.reason.empty() ? code_of(http) : code_named(step.reason);
        fail(exchange, http, code.status, code.message, fcm_detail(code.code));
    }

  private:
    /// Fills the answer if it is not.
    bool credential_is_good(Exchange& exchange) {
        const std::string_view authorization = exchange.request.headers.get("authorization");
        constexpr std::size_t scheme_size = 7;
        if (!equal_without_case(authorization.substr(0, scheme_size), "bearer ")) {
            fail(exchange, 401, "UNAUTHENTICATED",
                 "Request is missing required authentication credential.",
                 info_detail("CREDENTIALS_MISSING"));
            return false;
        }
        const std::string_view token = authorization.substr(scheme_size);
        if (options_.fcm_any_token || is_known_good(token)) return true;
        const auto verdict = world_.access_tokens.judge(token, good_until_);
        if (verdict == AccessTokens::Verdict::good) {
            good_token_ = token;
            good_generation_ = world_.access_tokens.generation();
            return true;
        }
        const bool expired = verdict == AccessTokens::Verdict::expired;
        fail(exchange, 401, "UNAUTHENTICATED", "Request had invalid authentication credentials.",
             info_detail(expired ? "ACCESS_TOKEN_EXPIRED" : "ACCESS_TOKEN_TYPE_UNSUPPORTED"));
        return false;
    }

    bool is_known_good(std::string_view token) const {
        return token == good_token_ && Clock::now() < good_until_ &&
               world_.access_tokens.generation() == good_generation_;
    }

    void send(std::string_view project, Exchange& exchange, const Settings& settings) {
        if (!exchange.request.headers.get("content-type").starts_with("application/json")) {
            return fail(exchange, 400, "INVALID_ARGUMENT", "The content type is application/json.",
                        fcm_detail("INVALID_ARGUMENT"));
        }
        const FcmMessage message = read_fcm_message(parser_, exchange.request.body);
        exchange.target = message.token;
        exchange.id = message.id;
        if (!message.fault.empty()) {
            return fail(exchange, 400, "INVALID_ARGUMENT", message.fault,
                        fcm_detail("INVALID_ARGUMENT") + "," +
                            violation_detail(message.field, message.fault));
        }
        const Duration minute = world_.unscaled(std::chrono::minutes(1));
        if (settings.project_requests > 0 &&
            !world_.limits.take("project", settings.project_requests, minute)) {
            say_trap("quota_failure", 429, exchange);
            return;
        }
        Answer& answer = exchange.answer;
        answer.headers.add("content-type", "application/json; charset=UTF-8");
        answer.body.clear();
        fmt::format_to(std::back_inserter(answer.body), R"({{"name":"projects/{}/messages/{}"}})",
                       project, message.validate_only ? "fake_message_id" : next_id());
        exchange.rehearsal = message.validate_only;
    }

    std::string_view next_id() {
        id_.clear();
        fmt::format_to(std::back_inserter(id_), "0:{:016x}%{:x}", wall_ms(), ++ids_);
        return id_;
    }

    /// `registrations/{registration}/topicSubscriptions…`
    void one_topic(std::string_view rest, Exchange& exchange) {
        const Request& request = exchange.request;
        rest.remove_prefix(rest.find('/') + 1);
        const std::size_t query_at = std::min(rest.find('?'), rest.size());
        const std::string_view query = rest.substr(std::min(query_at + 1, rest.size()));
        const std::string_view path = rest.substr(0, query_at);
        const std::size_t end = path.find("/topicSubscriptions");
        if (end == path.npos) return fail_in_html(exchange, 404);
        const std::string registration = percent_decoded(path.substr(0, end));
        exchange.target = registration;
        std::string_view named = path.substr(end + std::string_view{"/topicSubscriptions"}.size());
        if (named.starts_with('/')) named.remove_prefix(1);
        std::string topic = percent_decoded(named);
        if (topic.empty()) topic = form_value(query, "topicName").value_or("");
        if (topic.empty()) topic = form_value(query, "topic_name").value_or("");
        const std::pair key{registration, topic};
        if (request.method == "POST" && !topic.empty()) {
            if (!topics_.insert(key).second) {
                return fail(exchange, 409, "ALREADY_EXISTS", "Requested entity already exists", "");
            }
            return write_json(exchange, 200, resource(key));
        }
        if (request.method == "DELETE") {
            const bool had = topics_.erase(key) > 0;
            if (had || form_value(query, "allowMissing") == "true") {
                return write_json(exchange, 200, "{}");
            }
        } else if (request.method == "GET" && topic.empty()) {
            return write_json(exchange, 200, list(registration));
        } else if (request.method == "GET" && topics_.contains(key)) {
            return write_json(exchange, 200, resource(key));
        }
        fail(exchange, 404, "NOT_FOUND", "Requested entity was not found.", "");
    }

    using Membership = std::pair<std::string, std::string>; // registration, topic

    static std::string resource(const Membership& key) {
        return fmt::format(
            R"({{"name":{},"topic_name":{},"create_time":"2026-01-01T00:00:00Z"}})",
            json_text("registrations/" + key.first + "/topicSubscriptions/" + key.second),
            json_text(key.second));
    }

    std::string list(const std::string& registration) const {
        std::string out;
        for (const Membership& key : topics_) {
            if (key.first == registration) out += (out.empty() ? "" : ",") + resource(key);
        }
        return "{\"topicSubscriptions\":[" + out + "]}";
    }

    /// The old calls. A token's script gives its entry in the list: the step's reason.
    void batch_topics(Exchange& exchange) {
        if (!credential_is_good(exchange)) return;
        if (exchange.request.headers.get("access_token_auth") != "true") {
            return fail(exchange, 401, "UNAUTHENTICATED", "access_token_auth is missing", "");
        }
        simdjson::dom::object root;
        simdjson::dom::array tokens;
        std::string_view to;
        if (parser_.parse(exchange.request.body).get(root) != simdjson::SUCCESS ||
            root["to"].get(to) != simdjson::SUCCESS || !to.starts_with("/topics/") ||
            root["registration_tokens"].get(tokens) != simdjson::SUCCESS || tokens.size() > 1000) {
            return write_json(exchange, 400, R"({"error":"INVALID_ARGUMENT"})");
        }
        const bool add = exchange.request.path == "/iid/v1:batchAdd";
        std::string results;
        for (const auto token : tokens) {
            std::string_view text;
            if (token.get(text) != simdjson::SUCCESS) text = {};
            const auto step = world_.scripts.next(ServiceId::fcm, text);
            const Membership key{text, to.substr(8)};
            if (!step) add ? void(topics_.insert(key)) : void(topics_.erase(key));
            if (!results.empty()) results += ',';
            results += step ? fmt::format(R"({{"error":"{}"}})", step->reason) : "{}";
        }
        write_json(exchange, 200, "{\"results\":[" + results + "]}");
    }

    World& world_;
    const Options& options_;
    simdjson::dom::parser parser_;
    std::string good_token_; // the last one that was good: asked about once, not per request
    Instant good_until_{};
    std::uint64_t good_generation_ = 0;
    std::set<Membership> topics_; // of this worker: tests of topics use one
    std::string id_;
    std::uint64_t ids_ = 0;
};

} // namespace

std::unique_ptr<Service> make_fcm(World& world) {
    return std::make_unique<Fcm>(world);
}

} // namespace sim
