#include "control.hpp"

#include "orders.hpp"
#include "text.hpp"
#include "world.hpp"

#include <fmt/format.h>

#include <functional>
#include <latch>
#include <stdexcept>
#include <string_view>

namespace sim {
namespace {

using simdjson::dom::element;

/// Where a browser of that vendor says that it is reached.
std::string_view path_of(std::string_view vendor) {
    if (vendor == "apple") return "/apple/";
    if (vendor == "google") return "/fcm/send/";
    if (vendor == "mozilla") return "/wpush/v2/";
    throw std::invalid_argument("vendor: mozilla, apple or google is expected");
}

std::string decoded(std::string_view text, std::string_view where) {
    auto bytes = from_base64url(text);
    if (!bytes) throw std::invalid_argument(fmt::format("{}: base64url is expected", where));
    return std::move(*bytes);
}

class Control final : public Service {
  public:
    Control(World& world, const std::vector<Worker*>& workers, Monitor& monitor, std::string base)
        : world_(world), workers_(workers), monitor_(monitor), base_(std::move(base)) {}

    void judge(Exchange& exchange, Peer& /*peer*/, const Settings& /*settings*/) override {
        const Request& request = exchange.request;
        const std::size_t mark = std::min(request.path.find('?'), request.path.size());
        const std::string path = request.path.substr(0, mark);
        const std::string_view query =
            std::string_view{request.path}.substr(std::min(mark + 1, request.path.size()));
        try {
            answer(exchange, 200, route(request.method, path, query, request.body));
        } catch (const std::invalid_argument& error) {
            answer(exchange, 400, fmt::format(R"({{"error":{}}})", json_text(error.what())));
        } catch (const std::out_of_range& error) {
            answer(exchange, 404, fmt::format(R"({{"error":{}}})", json_text(error.what())));
        }
    }

    void say(const Step& /*step*/, Exchange& /*exchange*/, Peer& /*peer*/,
             const Settings& /*settings*/) override {}

  private:
    static void answer(Exchange& exchange, int status, std::string body) {
        exchange.answer.status = status;
        exchange.answer.headers.add("content-type", "application/json");
        exchange.answer.body = std::move(body) + '\n';
    }

    std::string route(std::string_view method, const std::string& path, std::string_view query,
                      const std::string& body) {
        constexpr std::string_view subscriptions = "/subscriptions";
        if (method == "GET" && path == "/requests") return requests(query);
        if (method == "GET" && path == "/stats") return stats();
        if (method == "POST" && path == "/script") return script(body);
        if (method == "POST" && path == "/reset") return reset();
        if (method == "POST" && path == subscriptions) return subscribe(body);
        if (path.starts_with("/subscriptions/")) {
            const auto found = world_.subscriptions.find(path.substr(subscriptions.size() + 1));
            if (!found) throw std::out_of_range("no such subscription");
            if (method == "POST") set_online(*found, body);
            if (method == "GET" || method == "POST") return found->to_json();
        }
        throw std::out_of_range(
            "no such call: GET /requests, GET /stats, POST /script, POST /reset, "
            "POST /subscriptions, GET or POST /subscriptions/{id}");
    }

    /// Runs `job` on every worker and waits: what the caller does next meets its effects.
    void everywhere(const std::function<void(Worker&)>& job) {
        std::latch done{static_cast<std::ptrdiff_t>(workers_.size())};
        for (Worker* worker : workers_) {
            worker->post([&job, &done](Worker& own) {
                job(own);
                done.count_down();
            });
        }
        done.wait();
    }

    std::string requests(std::string_view query) {
        if (!world_.recorder.enabled()) {
            throw std::invalid_argument("requests are not kept: --no-record was given");
        }
        Recorder::Query wanted;
        const auto number = [&](std::string_view name, auto& into) {
            const auto text = form_value(query, name);
            if (!text) return;
            const auto value = to_number(*text);
            if (!value) throw std::invalid_argument(fmt::format("{}: a number is expected", name));
            into = static_cast<std::remove_reference_t<decltype(into)>>(*value);
        };
        number("since", wanted.since);
        number("limit", wanted.limit);
        wanted.target = form_value(query, "token").value_or("");
        wanted.service = form_value(query, "service").value_or("");
        return world_.recorder.to_json(wanted);
    }

    std::string stats() {
        std::string out = "{\"services\":{";
        for (std::size_t i = 0; i + 1 < services_count; ++i) {
            const auto id = static_cast<ServiceId>(i);
            out += fmt::format("{}\"{}\":{{", i == 0 ? "" : ",", to_string(id));
            for (std::size_t c = 0; c < counts; ++c) {
                out += fmt::format("{}\"{}\":{}", c == 0 ? "" : ",", count_names[c],
                                   sum(id, static_cast<Count>(c)));
            }
            out += '}';
        }
        out += fmt::format(R"(}},"duplicates":{},"records_forgotten":{},"access_tokens":{},)",
                           world_.recorder.duplicates(), world_.recorder.forgotten(),
                           world_.access_tokens.issued());
        out += "\"threads\":[";
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            const auto cpu = std::chrono::duration<double>(workers_[i]->cpu_time());
            out += fmt::format(R"({}{{"cpu_s":{:.3f}}})", i == 0 ? "" : ",", cpu.count());
        }
        return out + "]," + monitor_.to_json() + "}";
    }

    std::int64_t sum(ServiceId id, Count what) const {
        std::int64_t total = 0;
        for (const Worker* worker : workers_) {
            const Counters* counters = worker->counters(id);
            if (counters == nullptr) continue;
            const std::int64_t value = counters->get(what);
            total = what == Count::streams_peak ? std::max(total, value) : total + value;
        }
        return total;
    }

    std::string script(const std::string& body) {
        Orders orders = read_orders(body);
        if (orders.clear_scripts) world_.scripts.clear(orders.service);
        for (auto& [token, steps] : orders.tokens) {
            world_.scripts.add(orders.service, token, std::move(steps));
        }
        if (orders.revoke_tokens) world_.access_tokens.revoke_all();
        if (orders.drops) {
            world_.drops_left[static_cast<std::size_t>(orders.service)] = *orders.drops;
        }
        everywhere([&orders](Worker& worker) {
            Desk* desk = worker.desk(orders.service);
            if (desk == nullptr) return;
            for (const auto& change : orders.changes) change(desk->settings);
            for (const Command& command : orders.commands) worker.command(orders.service, command);
        });
        return R"({"ok":true})";
    }

    /// Scripts, faults, records and counters as at the start. Connections, subscriptions' keys and
    /// access tokens stay.
    std::string reset() {
        for (std::size_t i = 0; i < services_count; ++i) {
            world_.scripts.clear(static_cast<ServiceId>(i));
            world_.drops_left[i] = 0;
        }
        world_.limits.clear();
        everywhere([this](Worker& worker) {
            for (std::size_t i = 0; i < services_count; ++i) {
                const auto id = static_cast<ServiceId>(i);
                Desk* desk = worker.desk(id);
                if (desk == nullptr) continue;
                desk->reset();
                worker.command(id, Command{});
            }
        });
        world_.recorder.clear();
        monitor_.clear();
        return R"({"ok":true})";
    }

    std::string subscribe(const std::string& body) {
        std::string vendor = "mozilla";
        std::string vapid_key, private_key, p256dh, auth;
        bool online = true;
        const auto text = [](std::string& into, std::string_view name) {
            return std::pair<std::string_view, Member>{
                name, [&into, name](const element& value) {
                    std::string_view found;
                    if (value.get(found) != simdjson::SUCCESS) {
                        throw std::invalid_argument(fmt::format("{}: a text is expected", name));
                    }
                    into = found;
                }};
        };
        simdjson::dom::parser parser;
        element root;
        const std::string json = body.empty() ? "{}" : body;
        if (parser.parse(json).get(root) != simdjson::SUCCESS) {
            throw std::invalid_argument("body: JSON is expected");
        }
        read_members(root, "subscription",
                     {text(vendor, "vendor"),
                      text(vapid_key, "vapid_key"),
                      text(private_key, "private_key"),
                      text(p256dh, "p256dh"),
                      text(auth, "auth"),
                      {"online", [&](const element& value) { online = truth(value); }}});
        const std::string_view path = path_of(vendor);
        Recipient recipient = private_key.empty() && p256dh.empty() && auth.empty()
                                  ? Recipient{}
                                  : Recipient{decoded(private_key, "private_key"),
                                              decoded(p256dh, "p256dh"), decoded(auth, "auth")};
        const auto made = world_.subscriptions.add(std::make_shared<Subscription>(
            to_hex(random_bytes(16)), std::move(recipient), vapid_key, online));
        return fmt::format(
            R"({{"id":"{0}","endpoint":"{1}{2}{0}","expirationTime":null,"keys":{{"p256dh":"{3}","auth":"{4}"}}}})",
            made->id(), base_, path, to_base64url(made->recipient().public_key()),
            to_base64url(made->recipient().auth()));
    }

    static bool truth(const element& value) {
        bool out = false;
        if (value.get(out) != simdjson::SUCCESS) {
            throw std::invalid_argument("online: true or false is expected");
        }
        return out;
    }

    static void set_online(Subscription& subscription, const std::string& body) {
        simdjson::dom::parser parser;
        element root;
        if (parser.parse(body).get(root) != simdjson::SUCCESS) {
            throw std::invalid_argument("body: JSON is expected");
        }
        read_members(root, "subscription", {{"online", [&](const element& value) {
                                                 subscription.set_online(truth(value));
                                             }}});
    }

    World& world_;
    const std::vector<Worker*> workers_;
    Monitor& monitor_;
    const std::string base_;
};

} // namespace

std::unique_ptr<Service> make_control(World& world, const std::vector<Worker*>& workers,
                                      Monitor& monitor, std::string base) {
    return std::make_unique<Control>(world, workers, monitor, std::move(base));
}

} // namespace sim
