#include "push_pool.hpp"

#include "push_response.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/log.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace fanfare::providers {
namespace {

using delivery::PushOutcome;
using delivery::PushVerdict;
using Kind = http::H2Answer::Kind;

// Different reasons that are logged of one credential.
constexpr std::size_t noted_max = 32;

PushOutcome unsent(const char* reason) {
    PushOutcome outcome;
    outcome.reason = reason;
    outcome.not_attempted = true;
    return outcome;
}

http::H2Options named(http::H2Options options, const PushName& name) {
    options.name = name.pool();
    return options;
}

/// Whoever is told may do anything but destroy us.
class Telling {
  public:
    explicit Telling(bool& flag) : flag_(flag), before_(std::exchange(flag, true)) {}
    ~Telling() { flag_ = before_; }
    Telling(const Telling&) = delete;
    Telling& operator=(const Telling&) = delete;

  private:
    bool& flag_;
    const bool before_;
};

} // namespace

PushPool::PushPool(net::Reactor& reactor, net::BlockingThread& resolver, PushVendor& vendor,
                   PushName name, http::H2Options options, std::size_t line_max)
    : reactor_(reactor), vendor_(vendor), name_(std::move(name)), line_max_(line_max),
      pool_(reactor, resolver, *this, named(std::move(options), name_)) {}

std::size_t PushPool::room() const noexcept {
    const std::size_t room = pool_.room();
    return room > line_.size() ? room - line_.size() : 0;
}

void PushPool::send(PushRequest request, std::function<void(PushOutcome)> done) {
    const std::uint64_t tag = ++tags_;
    Push& push = pushes_[tag];
    push.request = std::move(request);
    push.done = std::move(done);
    push.due = reactor_.now() + deadline.count();
    if (line_.empty() && try_send(tag, push)) return;
    if (line_.size() < line_max_) return wait(tag);
    push.outcome = unsent("too many wait already");
    finish(tag);
}

bool PushPool::try_send(std::uint64_t tag, Push& push) {
    if (push.due <= reactor_.now() || pool_.room() == 0) return false;
    if (!vendor_.authorize(push)) return false;
    std::array<http::H2Header, http::H2Pool::headers_max> headers;
    std::size_t count = 0;
    for (const RequestField& field : push.request.fields)
        headers.at(count++) = {field.name, field.value, field.never_index};
    if (!push.authorization.empty()) {
        FANFARE_ASSERT(headers.front().name == "authorization");
        headers.front().value = std::exchange(push.authorization, {});
    }
    http::H2Request request;
    request.path = push.request.path;
    request.headers = {headers.data(), count};
    request.body = push.request.body;
    request.deadline = std::chrono::milliseconds{push.due - reactor_.now()};
    push.renewals = renewals_;
    return pool_.send(request, *this, tag);
}

void PushPool::wait(std::uint64_t tag) {
    line_.push_back(tag);
    retime();
}

void PushPool::resume() {
    while (!line_.empty() && try_send(line_.front(), pushes_.at(line_.front()))) line_.pop_front();
}

void PushPool::finish(std::uint64_t tag) {
    const auto at = pushes_.find(tag);
    Push push = std::move(at->second);
    pushes_.erase(at);
    const Telling telling{telling_};
    push.done(push.outcome ? std::move(*push.outcome) : unsent("not sent in time"));
    // Told at the end of a turn, it gives room that is seen in the next one.
    reactor_.wake_at(reactor_.now_micros());
}

void PushPool::on_answer(std::uint64_t tag, const http::H2Answer& answer) {
    const Telling telling{telling_};
    Push& push = pushes_.at(tag);
    const bool responded = answer.kind == Kind::response;
    if (!responded) read_failure(push, answer);
    if (responded && read_response(push, answer))
        wait(tag);
    else
        finish(tag);
    resume();
}

/// True: it goes once more.
bool PushPool::read_response(Push& push, const http::H2Answer& answer) {
    const PushResponse response{answer};
    PushReading reading = vendor_.read(push, response.view());
    note(reading);
    // Those that were on their way together say the same of the one connection.
    if (reading.new_connection && push.renewals == renewals_) {
        ++renewals_;
        pool_.renew_connections();
    }
    push.outcome = std::move(reading.outcome);
    return reading.again && std::exchange(push.attempt, Attempt::repeated) == Attempt::first;
}

void PushPool::read_failure(Push& push, const http::H2Answer& answer) {
    PushOutcome outcome;
    outcome.reason = answer.reason;
    outcome.not_attempted = answer.kind != Kind::lost;
    outcome.torn = answer.torn;
    vendor_.no_answer(answer.kind, outcome);
    // What was answered once counts as that, if its second try came to nothing.
    const bool stands = push.attempt == Attempt::repeated && outcome.not_attempted &&
                        outcome.verdict == PushVerdict::later;
    if (!stands) push.outcome = std::move(outcome);
}

/// A refused credential is the dispatcher's to tell.
void PushPool::note(const PushReading& reading) {
    if (!reading.alert || reading.outcome.verdict == PushVerdict::stop) return;
    if (noted_.size() == noted_max || !noted_.insert(reading.outcome.reason).second) return;
    log::error("push_settings_refused", {{"provider", name_.provider},
                                         {"app", name_.app},
                                         {"status", reading.outcome.status},
                                         {"reason", reading.outcome.reason}});
}

void PushPool::on_goaway(std::uint32_t /*error*/, std::string_view debug_data) {
    vendor_.on_goaway(debug_data);
}

void PushPool::on_timer() {
    const Telling telling{telling_};
    std::deque<std::uint64_t> late;
    std::erase_if(line_, [&](std::uint64_t tag) {
        if (pushes_.at(tag).due > reactor_.now()) return false;
        late.push_back(tag);
        return true;
    });
    for (const std::uint64_t tag : late) finish(tag);
    retime();
}

void PushPool::retime() {
    if (line_.empty()) return;
    MonoMillis due = pushes_.at(line_.front()).due;
    for (const std::uint64_t tag : line_) due = std::min(due, pushes_.at(tag).due);
    const MonoMillis left = std::max<MonoMillis>(due - reactor_.now(), 1);
    reactor_.timers().set(*this, std::chrono::milliseconds{left});
}

} // namespace fanfare::providers
