#pragma once
// Pushes on their way to one origin: what all vendors have in common between a request that is made
// and an outcome that is told. The HTTP/2 pool below keeps no queue; this one has a short line, for
// what waits for a token, or goes a second time while all streams are in use.

#include "push_answer.hpp"
#include "push_request.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/http/h2_client.hpp>
#include <fanfare/net/timer_wheel.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

namespace fanfare::providers {

struct Push {
    PushRequest request;
    std::function<void(delivery::PushOutcome)> done;
    std::uint64_t generation = 0; // of the token that it was sent with last
    /// Value of the first field, `authorization`, for the one call that sends it; empty: as it is.
    std::string_view authorization;
    Attempt attempt = Attempt::first;
    // PushPool's
    std::uint64_t renewals = 0;                   // of the connections, when it was sent
    MonoMillis due = 0;                           // then it is given up
    std::optional<delivery::PushOutcome> outcome; // stands if nothing more comes of it
};

/// Whose pushes they are, as metrics and logs call it.
struct PushName {
    std::string provider; // "apns"
    std::string app;      // empty: the credential without a name
    /// "apns", or "apns:shop": of the connections.
    [[nodiscard]] std::string pool() const { return app.empty() ? provider : provider + ':' + app; }
};

/// What is a vendor's own about it. Called on the reactor.
class PushVendor {
  public:
    /// Says the credential of now, which lives as long as the call. False: there is none, the push
    /// waits.
    [[nodiscard]] virtual bool authorize(Push& push) = 0;
    /// What an answer means. Does itself what that asks for the token.
    [[nodiscard]] virtual PushReading read(const Push& push, const PushAnswer& answer) = 0;
    /// There was no answer; `outcome` says what that means as far as the connection knows.
    virtual void no_answer(http::H2Answer::Kind /*kind*/, delivery::PushOutcome& /*outcome*/) {}
    /// The service ends a connection, with these words.
    virtual void on_goaway(std::string_view /*debug_data*/) {}

  protected:
    ~PushVendor() = default;
};

class PushPool final : http::H2PoolOwner, http::H2Caller, net::TimerWheel::Timer {
  public:
    /// From the hand-over to the outcome, a second try included.
    static constexpr std::chrono::milliseconds deadline{15'000};
    /// Pushes that wait here and were not sent yet.
    static constexpr std::size_t usual_line = 64;

    /// All outlive it. Throws as H2Pool does. `options.name` follows from `name`.
    PushPool(net::Reactor& reactor, net::BlockingThread& resolver, PushVendor& vendor,
             PushName name, http::H2Options options, std::size_t line_max = usual_line);
    ~PushPool() override = default;

    [[nodiscard]] const PushName& name() const noexcept { return name_; }
    /// How many more are sent at once.
    [[nodiscard]] std::size_t room() const noexcept;
    /// Beyond the room they wait in the line, and are given back where that is full.
    void send(PushRequest request, std::function<void(delivery::PushOutcome)> done);
    /// `authorize` may say yes again.
    void resume();
    /// Pushes without an outcome.
    [[nodiscard]] std::size_t in_flight() const noexcept { return pushes_.size(); }
    [[nodiscard]] bool connected() const noexcept { return pool_.connections() != 0; }
    /// Within a call that tells outcomes: it must not be destroyed.
    [[nodiscard]] bool telling() const noexcept { return telling_; }

  private:
    void on_answer(std::uint64_t tag, const http::H2Answer& answer) override;
    void on_room() override { resume(); }
    void on_goaway(std::uint32_t error, std::string_view debug_data) override;
    void on_timer() override;

    [[nodiscard]] bool try_send(std::uint64_t tag, Push& push);
    [[nodiscard]] bool read_response(Push& push, const http::H2Answer& answer);
    void read_failure(Push& push, const http::H2Answer& answer);
    void note(const PushReading& reading);
    void wait(std::uint64_t tag);
    void finish(std::uint64_t tag);
    void retime();

    net::Reactor& reactor_;
    PushVendor& vendor_;
    const PushName name_;
    const std::size_t line_max_;
    std::unordered_map<std::uint64_t, Push> pushes_; // by tag
    std::deque<std::uint64_t> line_;
    std::uint64_t tags_ = 0;
    std::uint64_t renewals_ = 0;
    bool telling_ = false;
    std::set<std::string> noted_; // reasons that an operator was told
    http::H2Pool pool_;           // the last: nothing is told while it goes
};

} // namespace fanfare::providers
