// A Web Push service (RFC 8030, 8291, 8292). Its browsers are the simulator's own, so what arrives
// can be decrypted and read. The endpoint's path says in whose words errors come.
#include "jose.hpp"
#include "service.hpp"
#include "text.hpp"
#include "world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string_view>
#include <unordered_map>

namespace sim {
namespace {

enum class Vendor : std::uint8_t { mozilla, apple, google };

struct Prefix {
    std::string_view path;
    Vendor vendor;
};
constexpr std::array prefixes{Prefix{"/wpush/v2/", Vendor::mozilla},
                              Prefix{"/apple/", Vendor::apple},
                              Prefix{"/fcm/send/", Vendor::google}};

/// Takes any sender's messages for `any-…`, and cannot read them: for load.
constexpr std::string_view open_prefix = "any-";

/// A fault in the words of each vendor.
struct Fault {
    std::string_view name; // as scripts call it
    int status;
    int errno_;
    std::string_view apple;
    std::string_view text;
};
constexpr std::array faults{
    Fault{"method", 405, 0, "MethodNotAllowed", "method not allowed"},
    Fault{"not_found", 404, 102, "BadPath", "NotRegistered"},
    Fault{"gone", 410, 106, "Unregistered", "push subscription has unsubscribed or expired."},
    Fault{"no_ttl", 400, 111, "BadTtl", "missing TTL header"},
    Fault{"ttl", 400, 112, "BadTtl", "invalid TTL header"},
    Fault{"urgency", 400, 113, "BadUrgency", "invalid Urgency header"},
    Fault{"topic", 400, 113, "BadWebPushTopic", "invalid Topic header"},
    Fault{"encoding", 400, 110, "BadWebPushRequest", "invalid Content-Encoding"},
    Fault{"body", 400, 110, "BadWebPushRequest", "invalid encrypted body"},
    Fault{"too_large", 413, 104, "PayloadTooLarge", "payload too large"},
    Fault{"vapid_missing", 401, 109, "BadAuthorizationHeader", "missing authorization header"},
    Fault{"vapid", 403, 109, "BadJwtToken", "invalid JWT provided"},
    Fault{"vapid_key", 403, 109, "VapidPkHashMismatch",
          "the VAPID credentials in the authorization header do not correspond to the credentials "
          "used to create the subscriptions."},
    Fault{"bad_request", 400, 110, "BadWebPushRequest", "UnauthorizedRegistration"},
    Fault{"too_many", 429, 201, "TooManyRequests", "too many requests"},
    Fault{"internal", 500, 999, "InternalServerError", "internal server error"},
    Fault{"bad_gateway", 502, 902, "InternalServerError", "bad gateway"},
    Fault{"unavailable", 503, 201, "ServiceUnavailable", "service unavailable"},
    Fault{"shutdown", 503, 202, "Shutdown", "service unavailable"}};

const Fault& fault_named(std::string_view name) {
    for (const Fault& fault : faults) {
        if (fault.name == name) return fault;
    }
    return faults[0];
}

const Fault& fault_of(int status) {
    if (status == 400) return fault_named("bad_request");
    if (status == 403) return fault_named("vapid_key");
    for (const Fault& fault : faults) {
        if (fault.status == status) return fault;
    }
    return fault_named("internal");
}

Vendor vendor_of(std::string_view path) {
    for (const auto& [prefix, vendor] : prefixes) {
        if (path.starts_with(prefix)) return vendor;
    }
    return Vendor::mozilla;
}

bool is_topic(std::string_view text) {
    return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    });
}

/// `sub` as Apple wants it: a contact, not at localhost.
bool is_contact(std::string_view sub) {
    const bool form = (sub.starts_with("mailto:") && sub.size() > 7 && sub[7] != ' ') ||
                      (sub.starts_with("https://") && sub.size() > 8);
    return form && sub.find("localhost") == sub.npos && sub.find('<') == sub.npos;
}

/// The parameters of `vapid t=…, k=…`, in any order; false if it is not of that form.
bool split_vapid(std::string_view header, std::string_view& token, std::string_view& key) {
    if (!equal_without_case(header.substr(0, 6), "vapid ")) return false;
    std::string_view rest = header.substr(6);
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(','), rest.size());
        std::string_view part = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
        part = part.substr(0, part.find_last_not_of(' ') + 1);
        if (part.starts_with("t=")) token = part.substr(2);
        if (part.starts_with("k=")) key = part.substr(2);
    }
    return !token.empty() && !key.empty();
}

class WebPush final : public Service {
  public:
    explicit WebPush(World& world) : world_(world), options_(world.options) {}

    void judge(Exchange& exchange, Peer& peer, const Settings& settings) override {
        subscription_ = nullptr;
        opened_ = {};
        if (const auto name = fault(exchange, peer); !name.empty()) {
            return fail(exchange, fault_named(name), 0);
        }
        Answer& answer = exchange.answer;
        answer.status = 201;
        location_.assign("/m/").append(std::to_string(++messages_));
        answer.headers.add("location", location_);
        const auto ttl = to_number(exchange.request.headers.get("ttl")).value_or(0);
        ttl_ = std::min(ttl, settings.ttl_max);
        if (ttl_ < ttl) answer.headers.add("ttl", std::to_string(ttl_));
    }

    void say(const Step& step, Exchange& exchange, Peer& /*peer*/,
             const Settings& /*settings*/) override {
        const int status = step.status != 0 ? step.status : fault_named(step.reason).status;
        if (status < 300) {
            exchange.answer.status = status;
            return;
        }
        if (status < 400) { // a redirect: its Location is among the step's headers
            exchange.answer.headers.clear();
            exchange.answer.status = status;
            return;
        }
        Fault said = step.reason.empty() ? fault_of(status) : fault_named(step.reason);
        if (const auto number = to_number(step.reason)) said.errno_ = static_cast<int>(*number);
        fail(exchange, said, status, step.form);
    }

    void accepted(Exchange& exchange) override {
        if (!subscription_) return;
        const Duration ttl =
            world_.unscaled(std::chrono::seconds(std::min<std::int64_t>(ttl_, 30L * 24 * 3600)));
        const std::string_view topic = exchange.request.headers.get("topic");
        subscription_->deliver(std::string{topic}, exchange.plaintext, ttl);
    }

  private:
    /// The name of the first fault; empty: none.
    std::string_view fault(Exchange& exchange, Peer& peer) {
        const Request& request = exchange.request;
        if (request.method != "POST") return "method";
        std::string_view id;
        for (const auto& [prefix, vendor] : prefixes) {
            if (request.path.starts_with(prefix))
                id = std::string_view{request.path}.substr(prefix.size());
        }
        exchange.target = id;
        if (const auto name = header_fault(request); !name.empty()) return name;
        if (request.body.size() > 4096 || exchange.too_large) return "too_large";
        if (!id.starts_with(open_prefix)) {
            subscription_ = world_.subscriptions.find(id);
            if (!subscription_) return "not_found";
        }
        std::string_view key;
        if (const auto name = vapid_fault(request, peer, key); !name.empty()) return name;
        return body_fault(exchange, key);
    }

    static std::string_view header_fault(const Request& request) {
        const std::string_view ttl = request.headers.get("ttl");
        if (ttl.data() == nullptr) return "no_ttl";
        const bool digits = !ttl.empty() && ttl.find_first_not_of("0123456789") == ttl.npos;
        if (!digits || request.headers.count("ttl") > 1) return "ttl";
        const std::string_view urgency = request.headers.get("urgency");
        if (urgency.data() != nullptr) {
            const bool known = urgency == "very-low" || urgency == "low" || urgency == "normal" ||
                               urgency == "high";
            if (!known || request.headers.count("urgency") > 1) return "urgency";
        }
        const std::string_view topic = request.headers.get("topic");
        if (topic.data() != nullptr && (!is_topic(topic) || request.headers.count("topic") > 1)) {
            return "topic";
        }
        const std::string_view encoding = request.headers.get("content-encoding");
        const bool needed = !request.body.empty();
        if (needed != (encoding == "aes128gcm") ||
            request.headers.count("content-encoding") != (needed ? 1U : 0U)) {
            return "encoding";
        }
        return {};
    }

    /// Signature, time and contact of a token, and its audience. Cached: a sender signs one per
    /// origin and half a day.
    struct Checked {
        bool good = false;
        std::string aud;
        double exp = 0;
    };

    std::string_view vapid_fault(const Request& request, const Peer& peer, std::string_view& key) {
        const std::string_view header = request.headers.get("authorization");
        if (header.empty()) return options_.webpush_vapid ? "vapid_missing" : "";
        std::string_view token;
        if (!split_vapid(header, token, key)) return "vapid";
        const Checked& checked = check(header, token, key);
        if (!checked.good || checked.aud != origin(request, peer)) return "vapid";
        const double now = static_cast<double>(wall_ms()) / 1000;
        constexpr double day_s = 86'400;
        constexpr double leeway_s = 30;
        if (checked.exp <= now || checked.exp > now + day_s + leeway_s) return "vapid";
        if (subscription_ && !subscription_->vapid_key().empty() &&
            subscription_->vapid_key() != key) {
            return "vapid_key";
        }
        return {};
    }

    const Checked& check(std::string_view header, std::string_view token, std::string_view key) {
        constexpr std::size_t known_max = 1000;
        if (header == last_header_) return *last_checked_;
        auto known = checked_.find(std::string{header});
        if (known == checked_.end()) {
            if (checked_.size() >= known_max) checked_.clear();
            known = checked_.emplace(header, check_anew(token, key)).first;
        }
        last_header_ = header;
        last_checked_ = &known->second;
        return known->second;
    }

    static Checked check_anew(std::string_view text, std::string_view key) {
        const auto point = from_base64url(key);
        const auto public_key = point ? PublicKey::from_point(*point) : std::nullopt;
        const auto token = parse_jwt(text);
        if (!public_key || !token || !token->exp || !is_contact(token->sub) ||
            !public_key->verify_es256(*token)) {
            return {};
        }
        return {.good = true, .aud = token->aud, .exp = *token->exp};
    }

    const std::string& origin(const Request& request, const Peer& peer) {
        std::string_view authority = request.authority;
        const std::string_view usual_port = peer.secure ? ":443" : ":80";
        if (authority.ends_with(usual_port)) authority.remove_suffix(usual_port.size());
        origin_.assign(peer.secure ? "https://" : "http://").append(authority);
        return origin_;
    }

    std::string_view body_fault(Exchange& exchange, std::string_view key) {
        const std::string& body = exchange.request.body;
        if (body.empty()) return {};
        constexpr std::size_t head_size = 86;
        if (body.size() <= head_size) return "body";
        if (!subscription_ || !options_.record) return {};
        opened_ = subscription_->recipient().open(body);
        if (!opened_.error.empty() || from_base64url(key) == opened_.sender_key ||
            !subscription_->is_fresh(opened_.salt, opened_.sender_key)) {
            return "body";
        }
        exchange.plaintext = std::move(opened_.plaintext);
        exchange.decrypted = true;
        return {};
    }

    /// `status` 0: the fault's own. `form`: a vendor's, or `html`, against the path's.
    static void fail(Exchange& exchange, const Fault& fault, int status,
                     std::string_view form = {}) {
        Vendor vendor = vendor_of(exchange.request.path);
        if (form == "mozilla") vendor = Vendor::mozilla;
        if (form == "apple") vendor = Vendor::apple;
        if (form == "google" || form == "html") vendor = Vendor::google;
        Answer& answer = exchange.answer;
        answer.headers.clear();
        answer.status = status != 0 ? status : fault.status;
        switch (vendor) {
        case Vendor::mozilla:
            if (fault.errno_ == 109 && status == 0) answer.status = 401;
            answer.headers.add("content-type", "application/json");
            answer.body = fmt::format(
                R"({{"code":{},"errno":{},"error":"Error","message":{},"more_info":"https://example.com/errors"}})",
                answer.status, fault.errno_, json_text(fault.text));
            break;
        case Vendor::apple:
            answer.headers.add("content-type", "application/json");
            answer.body = fmt::format(R"({{"reason":"{}"}})", fault.apple);
            break;
        case Vendor::google:
            answer.headers.add("content-type", form == "html" ? "text/html" : "text/plain");
            answer.body = form == "html"
                              ? fmt::format("<HTML><BODY><H1>{}</H1></BODY></HTML>", fault.text)
                              : std::string{fault.text};
            break;
        }
    }

    World& world_;
    const Options& options_;
    std::unordered_map<std::string, Checked> checked_;
    std::string last_header_;
    const Checked* last_checked_ = nullptr;
    std::string location_, origin_;
    std::uint64_t messages_ = 0;
    // Of the request that judge() saw last; accepted() follows at once.
    std::shared_ptr<Subscription> subscription_;
    Recipient::Opened opened_;
    std::int64_t ttl_ = 0;
};

} // namespace

std::unique_ptr<Service> make_webpush(World& world) {
    return std::make_unique<WebPush>(world);
}

} // namespace sim
