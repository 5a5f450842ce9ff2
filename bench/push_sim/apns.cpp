// Apple's provider API. Checks go from the outside in: method, path, header syntax, credential,
// topic, device token, payload; Apple's own order is not documented.
#include "jose.hpp"
#include "service.hpp"
#include "text.hpp"
#include "world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace sim {
namespace {

constexpr std::string_view device_path = "/3/device/";

struct PushType {
    std::string_view name;
    std::string_view topic_suffix;
    bool needs_token; // not with a certificate
};
constexpr std::array push_types{PushType{"alert", "", false},
                                PushType{"background", "", false},
                                PushType{"voip", ".voip", false},
                                PushType{"complication", ".complication", false},
                                PushType{"controls", ".push-type.controls", false},
                                PushType{"fileprovider", ".pushkit.fileprovider", false},
                                PushType{"liveactivity", ".push-type.liveactivity", true},
                                PushType{"location", ".location-query", true},
                                PushType{"mdm", "", false},
                                PushType{"pushtotalk", ".voip-ptt", false},
                                PushType{"widgets", ".push-type.widgets", false}};

struct Reason {
    std::string_view name;
    int status;
};
constexpr std::array reasons{Reason{"Unregistered", 410},
                             Reason{"ExpiredToken", 410},
                             Reason{"PayloadTooLarge", 413},
                             Reason{"TooManyRequests", 429},
                             Reason{"TooManyProviderTokenUpdates", 429},
                             Reason{"InternalServerError", 500},
                             Reason{"ServiceUnavailable", 503},
                             Reason{"Shutdown", 503},
                             Reason{"BadPath", 404},
                             Reason{"MethodNotAllowed", 405},
                             Reason{"ExpiredProviderToken", 403},
                             Reason{"InvalidProviderToken", 403},
                             Reason{"MissingProviderToken", 403},
                             Reason{"UnrelatedKeyIdInToken", 403},
                             Reason{"BadEnvironmentKeyIdInToken", 403},
                             Reason{"BadEnvironmentKeyInToken", 403},
                             Reason{"BadCertificate", 403},
                             Reason{"BadCertificateEnvironment", 403},
                             Reason{"Forbidden", 403}};

int status_of(std::string_view reason) {
    for (const auto& [name, status] : reasons) {
        if (name == reason) return status;
    }
    return 400;
}

/// The reason that goes with a status when a script names only that.
std::string_view reason_of(int status) {
    if (status == 400) return "BadDeviceToken";
    if (status == 403) return "InvalidProviderToken";
    for (const auto& [name, known] : reasons) {
        if (known == status) return name;
    }
    return "InternalServerError";
}

/// The headers that matter, found in one walk.
struct Fields {
    std::string_view authorization, topic, push_type, id, expiration, priority, collapse_id;
    bool duplicate = false;
};

Fields read_fields(const HeaderList& headers) {
    Fields fields;
    for (std::size_t i = 0; i < headers.size(); ++i) {
        const auto [name, value] = headers[i];
        std::string_view* place = nullptr;
        if (name == "authorization") {
            place = &fields.authorization;
        } else if (name.starts_with("apns-")) {
            const std::string_view rest = name.substr(5);
            if (rest == "topic") place = &fields.topic;
            if (rest == "push-type") place = &fields.push_type;
            if (rest == "id") place = &fields.id;
            if (rest == "expiration") place = &fields.expiration;
            if (rest == "priority") place = &fields.priority;
            if (rest == "collapse-id") place = &fields.collapse_id;
        }
        if (place == nullptr) continue;
        fields.duplicate = fields.duplicate || place->data() != nullptr;
        *place = value;
    }
    return fields;
}

bool is_uuid(std::string_view text) {
    if (text.size() != 36) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) {
            return false;
        }
    }
    return true;
}

bool is_topic(std::string_view text) {
    return text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
               return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-';
           });
}

const PushType* find_push_type(std::string_view name) {
    const auto* found = std::find_if(push_types.begin(), push_types.end(),
                                     [&](const PushType& type) { return type.name == name; });
    return found == push_types.end() ? nullptr : found;
}

bool holds(const std::vector<std::string>& list, std::string_view text) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

class Apns final : public Service {
  public:
    explicit Apns(World& world)
        : world_(world), options_(world.options), dice_(static_cast<std::uint64_t>(wall_ms())) {
        if (!options_.apns_key.empty()) key_ = PublicKey::from_pem(options_.apns_key);
    }

    void judge(Exchange& exchange, Peer& peer, const Settings& settings) override {
        const Fields fields = read_fields(exchange.request.headers);
        echo_id(fields, exchange);
        if (const auto reason = fault(fields, exchange, peer); !reason.empty()) {
            fail(reason, status_of(reason), exchange, peer, settings);
        }
    }

    void say(const Step& step, Exchange& exchange, Peer& peer, const Settings& settings) override {
        const std::string_view reason =
            !step.reason.empty() ? std::string_view{step.reason} : reason_of(step.status);
        const int status = step.status != 0 ? step.status : status_of(step.reason);
        if (status < 300) return;
        fail(reason, status, exchange, peer, settings);
        if (step.status == 410 || status == 410) {
            exchange.answer.body = fmt::format(R"({{"reason":"{}","timestamp":{}}})", reason,
                                               step.timestamp_ms.value_or(wall_ms()));
        }
    }

    std::string refuses(const Peer& peer) override {
        const auto& [topic, development, production] = peer.certificate;
        if (!peer.certificate_mode || development == production) return {};
        return options_.apns_sandbox == development ? std::string{} : "BadCertificateEnvironment";
    }

  private:
    /// The first reason to refuse the request, from the outside in; empty: none.
    std::string_view fault(const Fields& fields, Exchange& exchange, Peer& peer) {
        const Request& request = exchange.request;
        if (request.method != "POST") return "MethodNotAllowed";
        const std::string_view path = request.path;
        if (path == device_path || path == device_path.substr(0, device_path.size() - 1)) {
            return "MissingDeviceToken";
        }
        if (!path.starts_with(device_path)) return "BadPath";
        const std::string_view token = path.substr(device_path.size());
        exchange.target = token;
        const PushType* type =
            find_push_type(fields.push_type.empty() ? "alert" : fields.push_type);
        if (const auto reason = syntax_fault(fields, type); !reason.empty()) return reason;
        if (!peer.certificate_mode) {
            if (const auto reason = credential_fault(fields.authorization, peer); !reason.empty()) {
                return reason;
            }
        } else if (type->needs_token) {
            return "InvalidPushType";
        }
        if (const auto reason = topic_fault(fields.topic, *type, peer); !reason.empty()) {
            return reason;
        }
        if (token.size() % 2 != 0 || token.size() > 200 || !is_hex(token)) return "BadDeviceToken";
        const std::size_t payload_max = type->name == "voip" ? 5120 : 4096;
        if (request.body.empty()) return "PayloadEmpty";
        if (request.body.size() > payload_max || exchange.too_large) return "PayloadTooLarge";
        return {};
    }

    static std::string_view syntax_fault(const Fields& fields, const PushType* type) {
        if (fields.duplicate) return "DuplicateHeaders";
        if (type == nullptr) return "InvalidPushType";
        if (fields.id.data() != nullptr && !is_uuid(fields.id)) return "BadMessageId";
        if (fields.expiration.data() != nullptr && !to_number(fields.expiration)) {
            return "BadExpirationDate";
        }
        const std::string_view priority =
            fields.priority.data() == nullptr ? "10" : fields.priority;
        if (priority != "10" && priority != "5" && priority != "1") return "BadPriority";
        if (type->name == "background" && priority == "10") return "BadPriority";
        if (fields.collapse_id.size() > 64) return "BadCollapseId";
        return {};
    }

    std::string_view credential_fault(std::string_view authorization, Peer& peer) {
        constexpr std::size_t scheme_size = 7;
        if (authorization.empty()) return "MissingProviderToken";
        if (!equal_without_case(authorization.substr(0, scheme_size), "bearer ")) {
            return "InvalidProviderToken";
        }
        if (peer.jwt_expired) return "ExpiredProviderToken";
        const std::string_view text = authorization.substr(scheme_size);
        if (text != peer.jwt) {
            if (const auto reason = new_token_fault(text, peer); !reason.empty()) return reason;
        }
        return age_fault(peer.jwt_iat, peer);
    }

    std::string_view age_fault(double iat, Peer& peer) const {
        const double age_s = static_cast<double>(wall_ms()) / 1000 - iat;
        if (age_s < -60) return "InvalidProviderToken";
        if (age_s * options_.clock_scale <= 3600) return {};
        peer.jwt_expired = true;
        return "ExpiredProviderToken";
    }

    /// A token that this connection has not carried last. Binds the connection to it if it is good.
    std::string_view new_token_fault(std::string_view text, Peer& peer) {
        const Checked& token = check(text);
        if (!token.fault.empty()) return token.fault;
        if (!peer.team.empty() && token.iss != peer.team) return "InvalidProviderToken";
        if (!peer.kid.empty() && token.kid != peer.kid) return "UnrelatedKeyIdInToken";
        const Duration since = world_.scaled(Clock::now() - peer.jwt_since);
        if (!peer.jwt.empty() && since < std::chrono::minutes(20)) {
            return "TooManyProviderTokenUpdates";
        }
        if (const auto reason = age_fault(token.iat, peer); !reason.empty()) return reason;
        peer.jwt = text;
        peer.team = token.iss;
        peer.kid = token.kid;
        peer.jwt_iat = token.iat;
        peer.jwt_since = Clock::now();
        return {};
    }

    struct Checked {
        std::string_view fault;
        std::string iss, kid;
        double iat = 0;
    };

    /// Signature and form. Connections share the result: verifying costs more than all the rest.
    const Checked& check(std::string_view text) {
        constexpr std::size_t known_max = 1000;
        if (const auto known = checked_.find(std::string{text}); known != checked_.end()) {
            return known->second;
        }
        if (checked_.size() >= known_max) checked_.clear();
        return checked_.emplace(text, check_anew(text)).first->second;
    }

    Checked check_anew(std::string_view text) const {
        const auto token = parse_jwt(text);
        Checked result{.fault = "InvalidProviderToken", .iss = {}, .kid = {}};
        if (!token || token->alg != "ES256" || token->signature.size() != 64 || !token->iat ||
            token->kid.empty() || token->iss.empty()) {
            return result;
        }
        if (holds(options_.apns_foreign_kids, token->kid)) {
            result.fault = "BadEnvironmentKeyInToken";
            return result;
        }
        const bool known_kid = options_.apns_kid.empty() || token->kid == options_.apns_kid ||
                               holds(options_.apns_other_kids, token->kid);
        const bool known_team = options_.apns_team.empty() || token->iss == options_.apns_team;
        if (!known_kid || !known_team || (key_ && !key_->verify_es256(*token))) return result;
        return {.fault = {}, .iss = token->iss, .kid = token->kid, .iat = *token->iat};
    }

    std::string_view topic_fault(std::string_view topic, const PushType& type, const Peer& peer) {
        if (topic.empty()) {
            return peer.certificate_mode && !peer.certificate.topic.empty() ? "" : "MissingTopic";
        }
        if (!is_topic(topic) || !topic.ends_with(type.topic_suffix)) return "BadTopic";
        const std::string_view bundle = topic.substr(0, topic.size() - type.topic_suffix.size());
        if (peer.certificate_mode && bundle != peer.certificate.topic) return "TopicDisallowed";
        const bool allowed = options_.apns_topics.empty() || holds(options_.apns_topics, bundle) ||
                             type.name == "mdm";
        return allowed ? "" : "TopicDisallowed";
    }

    void echo_id(const Fields& fields, Exchange& exchange) {
        if (is_uuid(fields.id)) {
            exchange.id = fields.id;
        } else {
            make_id(exchange.id);
        }
        Answer& answer = exchange.answer;
        if (options_.apns_upper_ids > 0 && dice_.next() < options_.apns_upper_ids) {
            std::array<char, 36> upper{};
            std::transform(exchange.id.begin(), exchange.id.end(), upper.begin(), [](char c) {
                return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
            });
            answer.headers.add("apns-id", {upper.data(), upper.size()});
        } else {
            answer.headers.add("apns-id", exchange.id);
        }
        if (options_.apns_sandbox) {
            std::string unique;
            make_id(unique);
            answer.headers.add("apns-unique-id", unique);
        }
        // Clients may send upper case too: duplicates are found all the same.
        for (char& c : exchange.id)
            c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }

    /// A UUID from the small generator: one is made for each request that brings none.
    void make_id(std::string& out) {
        constexpr std::string_view digits = "0123456789abcdef";
        out.assign("00000000-0000-4000-8000-000000000000");
        for (std::size_t i = 0; i < out.size(); ++i) {
            if (out[i] == '0') out[i] = digits[static_cast<std::size_t>(dice_.next() * 16)];
        }
    }

    static void fail(std::string_view reason, int status, Exchange& exchange, Peer& peer,
                     const Settings& settings) {
        Answer& answer = exchange.answer;
        answer.status = status;
        answer.headers.add("content-type", "application/json");
        answer.body.assign(R"({"reason":")").append(reason).append("\"}");
        if (reason == "BadDeviceToken" && settings.bad_tokens > 0 &&
            ++peer.bad_tokens >= settings.bad_tokens) {
            answer.after = After::goaway;
            answer.after_reason = reason;
        }
    }

    World& world_;
    const Options& options_;
    std::optional<PublicKey> key_;
    std::unordered_map<std::string, Checked> checked_;
    Dice dice_;
};

} // namespace

std::unique_ptr<Service> make_apns(World& world) {
    return std::make_unique<Apns>(world);
}

} // namespace sim
