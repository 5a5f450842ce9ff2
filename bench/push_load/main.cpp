// Pushes from a queue in memory through the gateway's own dispatcher and providers, as fast as the
// service takes them, and tells what became of them. What it costs is measured from outside
// (bench/table), against h2load, which sends the same request again and again.

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/base/log.hpp>
#include <fanfare/delivery/dispatcher.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/providers/providers.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace fanfare;
using delivery::Platform;

struct Plan {
    std::string service = "apns";
    std::uint16_t port = 0;
    std::string account;
    std::string ca;
    std::uint64_t pushes = 100'000;
    std::size_t seconds_max = 120;
};

std::string private_pem(EVP_PKEY* made) {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{made, &EVP_PKEY_free};
    const std::unique_ptr<BIO, decltype(&BIO_free)> out{BIO_new(BIO_s_mem()), &BIO_free};
    if (!key || !out ||
        PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
        throw std::runtime_error{"no key could be made"};
    char* text = nullptr;
    const auto size = static_cast<std::size_t>(BIO_get_mem_data(out.get(), &text));
    return {text, size};
}

std::string read_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    if (!file) throw std::runtime_error{"cannot read " + path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// A browser's public key.
std::string point() {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{EVP_EC_gen("prime256v1"),
                                                                  &EVP_PKEY_free};
    unsigned char* bytes = nullptr;
    const std::size_t size = EVP_PKEY_get1_encoded_public_key(key.get(), &bytes);
    std::string made;
    for (std::size_t i = 0; i < size; ++i) made += static_cast<char>(bytes[i]);
    OPENSSL_free(bytes);
    return made;
}

/// Jobs that are made when they are read: each for another user and device, all with one text.
class MemoryQueue final : public delivery::PushQueue {
  public:
    MemoryQueue(net::Reactor& reactor, const Plan& plan)
        : reactor_(reactor), plan_(plan), key_(plan.service == "webpush" ? point() : "") {
        job_.due = job_.queued = reactor.wall();
        delivery::Notification& one = job_.notification;
        one.status = delivery::Status::processing;
        one.channels = delivery::push;
        one.created = reactor.wall();
        one.expires = one.created + 86'400'000;
        one.data =
            R"({"title":"Order shipped","body":"Your parcel with two items is on its way and )"
            R"(arrives tomorrow.","data":{"order":"8812736"},"priority":"normal",)"
            R"("created":"2026-01-01T00:00:00.000Z"})";
        job_.device.name = "phone";
        job_.device.platform = plan.service == "apns"  ? Platform::ios
                               : plan.service == "fcm" ? Platform::android
                                                       : Platform::web;
        job_.device.p256dh = key_;
        job_.device.auth = std::string(16, 'a');
    }

    void on_work(std::function<void()> /*tell*/) override {}
    void read(delivery::Priority lane, const delivery::PushCursor& after, WallMillis /*now*/,
              std::size_t limit, std::function<void(delivery::PushJobs)> done) override {
        auto page = std::make_shared<delivery::PushJobs>();
        page->end = after;
        if (lane == delivery::Priority::normal) fill(*page, after, limit);
        reactor_.post([page, done = std::make_shared<decltype(done)>(std::move(done))] {
            (*done)(std::move(*page));
        });
    }
    void settle(delivery::PushResults results,
                std::function<void(delivery::Settled)> done) override {
        for (const delivery::PushResult& result : *results)
            ++(result.fate == delivery::PushResult::Fate::sent ? sent_ : other_);
        if (sent_ + other_ >= plan_.pushes) reactor_.stop();
        reactor_.post([done = std::make_shared<decltype(done)>(std::move(done))] { (*done)({}); });
    }
    [[nodiscard]] delivery::PushDepth depth(delivery::Priority /*lane*/) const override {
        return {};
    }
    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
    [[nodiscard]] std::uint64_t other() const noexcept { return other_; }

  private:
    void fill(delivery::PushJobs& page, const delivery::PushCursor& after, std::size_t limit) {
        auto id = static_cast<std::uint64_t>(after.id);
        page.jobs.reserve(limit);
        while (page.jobs.size() < limit && id < plan_.pushes) {
            delivery::PushJob& job = page.jobs.emplace_back(job_);
            job.id = static_cast<std::int64_t>(++id);
            job.notification.id = delivery::NotificationId::make(job_.queued);
            job.notification.user = job.device.user = "user-" + std::to_string(id);
            job.device.token = token(id);
        }
        page.end = {job_.due, static_cast<std::int64_t>(id)};
        page.more = id < plan_.pushes;
    }
    [[nodiscard]] std::string token(std::uint64_t id) const {
        const std::string text = std::to_string(id);
        if (plan_.service == "apns") return std::string(64 - text.size(), '0') + text;
        if (plan_.service == "fcm") return "token-" + std::string(140, 'x') + text;
        return "https://localhost:" + std::to_string(plan_.port) + "/wpush/v2/any-" + text;
    }

    net::Reactor& reactor_;
    const Plan& plan_;
    const std::string key_;
    delivery::PushJob job_;
    std::uint64_t sent_ = 0;
    std::uint64_t other_ = 0;
};

class Deadline final : public net::TimerWheel::Timer {
  public:
    explicit Deadline(net::Reactor& reactor) : reactor_(reactor) {}
    void on_timer() override { reactor_.stop(); }

  private:
    net::Reactor& reactor_;
};

std::unique_ptr<delivery::Provider> make_provider(net::Reactor& reactor,
                                                  net::BlockingThread& resolver,
                                                  providers::ApnsTokens& tokens, const Plan& plan) {
    const std::string origin = "https://localhost:" + std::to_string(plan.port);
    if (plan.service == "apns") {
        providers::ApnsOptions options;
        options.endpoint = origin;
        options.key = private_pem(EVP_EC_gen("prime256v1"));
        options.key_id = "KEY1234567";
        options.team_id = "TEAM123456";
        options.topic = "com.example.app";
        options.ca = plan.ca;
        return providers::make_apns(reactor, resolver, tokens, options);
    }
    if (plan.service == "fcm") {
        providers::FcmOptions options;
        options.endpoint = origin;
        options.service_account = read_file(plan.account);
        options.ca = plan.ca;
        return providers::make_fcm(reactor, resolver, options);
    }
    providers::WebPushOptions options;
    options.subject = "mailto:ops@example.com";
    options.private_key = private_pem(EVP_EC_gen("prime256v1"));
    options.ca = plan.ca;
    options.allow_private = true;
    return providers::make_webpush(reactor, resolver, options);
}

int run(const Plan& plan) {
    Metrics metrics;
    net::Reactor reactor{0, system_clock(), metrics};
    net::BlockingThread resolver{"resolver"};
    const net::Reactor::Scope scope{reactor};
    MemoryQueue queue{reactor, plan};
    providers::ApnsTokens tokens;
    const auto provider = make_provider(reactor, resolver, tokens, plan);
    delivery::Dispatcher dispatcher{reactor,
                                    queue,
                                    [&](const delivery::PushDevice&) { return provider.get(); },
                                    {},
                                    [](auto&) {}};
    Deadline deadline{reactor};
    reactor.timers().set(deadline, std::chrono::seconds{plan.seconds_max});
    dispatcher.start();
    reactor.run();
    fmt::print(R"({{"pushes":{},"sent":{},"other":{}}})"
               "\n",
               plan.pushes, queue.sent(), queue.other());
    return queue.sent() == plan.pushes ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    Plan plan;
    CLI::App app{"Pushes from memory, as fast as the service takes them."};
    app.add_option("--service", plan.service)->check(CLI::IsMember({"apns", "fcm", "webpush"}));
    app.add_option("--port", plan.port, "of the service, on localhost")->required();
    app.add_option("--account", plan.account, "fcm: JSON file of the service account");
    app.add_option("--ca", plan.ca, "PEM file")->required();
    app.add_option("--pushes", plan.pushes);
    app.add_option("--seconds-max", plan.seconds_max, "give up after this time");
    CLI11_PARSE(app, argc, argv);
    try {
        return run(plan);
    } catch (const std::exception& why) {
        fmt::print(stderr, "fanfare-push-load: {}\n", why.what());
        return 1;
    }
}
