// The pool: which connection takes a request, when there is to be one more or one less, and what
// the requests that wait for the first one hear.

#include "h2_link.hpp"
#include "h2_waiting.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/base/log.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/http/h2_client.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <deque>
#include <limits>
#include <utility>

namespace fanfare::http {
namespace {

std::string authority_of(const H2Options& options) {
    const bool v6 = options.host.find(':') != std::string::npos;
    std::string authority = v6 ? '[' + options.host + ']' : options.host;
    if (options.port != (options.tls ? 443 : 80)) authority += ':' + std::to_string(options.port);
    return authority;
}

} // namespace

class H2Pool::Impl final : H2LinkHost, net::TurnEnd, net::TimerWheel::Timer {
  public:
    Impl(net::Reactor& reactor, net::BlockingThread& resolver, H2PoolOwner& owner,
         H2Options options);
    ~Impl() override;

    [[nodiscard]] std::size_t room() const noexcept;
    [[nodiscard]] bool send(const H2Request& request, H2Caller& caller, std::uint64_t tag);
    void renew_connections();
    void close();
    [[nodiscard]] std::size_t connections() const noexcept;
    [[nodiscard]] std::size_t in_flight() const noexcept;

  private:
    // H2LinkHost
    void on_link_ready(H2Link& link) override;
    void on_link_answered(H2Link& link) override;
    void on_link_settings(H2Link& link) override;
    void on_link_goaway(H2Link& link, unsigned times, std::uint32_t error,
                        std::string_view debug_data) override;
    void on_link_ping_lost(H2Link& link) override;
    void on_link_ended(H2Link& link, H2LinkEnd how, const std::string& reason) override;
    [[nodiscard]] std::chrono::milliseconds
    idle_timeout(const H2Link& link) const noexcept override;
    void on_link_destroyed(H2Link& link) override { std::erase(links_, &link); }

    void on_turn_end() override;
    void on_timer() override;

    [[nodiscard]] bool may_connect() const noexcept;
    [[nodiscard]] bool connecting() const noexcept;
    [[nodiscard]] bool any_usable() const noexcept;
    [[nodiscard]] std::size_t links_room() const noexcept;
    [[nodiscard]] H2Link* link_with_room() const noexcept;
    void connect();
    void wait(const H2Request& request, H2Caller& caller, std::uint64_t tag, MonoMillis due);
    void submit_waiting();
    void end_waiting(H2Answer::Kind kind, const char* reason);
    void expire_waiting();
    void grow_if_busy();
    void back_off();
    void retime();
    void count_open();

    // constant after construction
    net::Reactor& reactor_;
    H2PoolOwner& owner_;
    const H2Options options_;
    std::unique_ptr<TlsContext> tls_;
    H2Streams streams_;
    H2LinkShared shared_;
    // its reactor only
    std::vector<H2Link*> links_; // in the order in which they are filled
    std::deque<H2Waiting> waiting_;
    std::string last_failure_; // in words; logged when it changes
    unsigned failures_ = 0;    // connections in a row that brought no answer
    MonoMillis next_connect_ = 0;
    MonoMicros turn_ended_ = 0; // the turn whose end has been handled
    bool news_ = false;         // the owner may have to hear of room
    bool closed_ = false;
    // instruments
    Gauge& connections_gauge_;
    Gauge& streams_gauge_;
    CounterFamily connects_;
    Counter& goaways_;
    Counter& pings_lost_;
    std::size_t streams_counted_ = 0;
};

H2Pool::Impl::Impl(net::Reactor& reactor, net::BlockingThread& resolver, H2PoolOwner& owner,
                   H2Options options)
    : reactor_(reactor), owner_(owner), options_(std::move(options)),
      tls_(options_.tls ? std::make_unique<TlsContext>(TlsContext::Files{
                              options_.ca_file, options_.certificate_file, options_.key_file,
                              options_.certificate, options_.key})
                        : nullptr),
      shared_{reactor, resolver, *this, options_, streams_, tls_.get(), authority_of(options_), 0},
      connections_gauge_(reactor.metrics().gauge("h2_client_connections",
                                                 "Connections to push services that are ready.",
                                                 {{"pool", options_.name}})),
      streams_gauge_(reactor.metrics().gauge("h2_client_streams",
                                             "Requests to push services without an answer yet.",
                                             {{"pool", options_.name}})),
      connects_(reactor.metrics(), "h2_client_connects_total",
                "Connections to push services by what became of them.", "outcome",
                {{"pool", options_.name}}),
      goaways_(reactor.metrics().counter("h2_client_goaways_total",
                                         "Connections that push services asked to end (GOAWAY).",
                                         {{"pool", options_.name}})),
      pings_lost_(reactor.metrics().counter("h2_client_pings_lost_total",
                                            "Connections found dead by a PING without an answer.",
                                            {{"pool", options_.name}})) {
    FANFARE_ASSERT(options_.connections_max > 0 && options_.waiting_max > 0);
    shared_.address_turn = static_cast<std::size_t>(random_u64() % 64); // not all begin alike
    reactor_.add_turn_end(*this);
}

H2Pool::Impl::~Impl() {
    reactor_.remove_turn_end(*this);
    closed_ = true;
    for (H2Link* const link : std::exchange(links_, {})) {
        if (link->ready()) connections_gauge_.add(-1);
        link->close(H2LinkEnd::closed, true);
        reactor_.retire(link->handle());
    }
    streams_gauge_.add(-static_cast<std::int64_t>(streams_counted_));
}

bool H2Pool::Impl::connecting() const noexcept {
    return std::any_of(links_.begin(), links_.end(),
                       [](const H2Link* link) { return link->connecting(); });
}

bool H2Pool::Impl::any_usable() const noexcept {
    return std::any_of(links_.begin(), links_.end(),
                       [](const H2Link* link) { return link->ready() && !link->draining(); });
}

bool H2Pool::Impl::may_connect() const noexcept {
    const auto drained = static_cast<std::size_t>(std::count_if(
        links_.begin(), links_.end(), [](const H2Link* link) { return link->draining(); }));
    // Those that drain are on their way out, but a peer that sends GOAWAY to each new connection
    // while old streams hang must not make us open ever more.
    return !closed_ && reactor_.now() >= next_connect_ && !connecting() &&
           links_.size() - drained < options_.connections_max &&
           drained <= options_.connections_max;
}

std::size_t H2Pool::Impl::links_room() const noexcept {
    std::size_t total = 0;
    for (const H2Link* const link : links_) total += link->room();
    return total;
}

H2Link* H2Pool::Impl::link_with_room() const noexcept {
    for (H2Link* const link : links_)
        if (link->room() != 0) return link;
    return nullptr;
}

std::size_t H2Pool::Impl::room() const noexcept {
    if (closed_) return 0;
    if (any_usable()) {
        const std::size_t total = links_room();
        return total > waiting_.size() ? total - waiting_.size() : 0;
    }
    return connecting() || may_connect()
               ? options_.waiting_max - std::min(options_.waiting_max, waiting_.size())
               : 0;
}

bool H2Pool::Impl::send(const H2Request& request, H2Caller& caller, std::uint64_t tag) {
    if (closed_) return false;
    const MonoMillis due = reactor_.now() + request.deadline.count();
    H2Link* const link = waiting_.empty() ? link_with_room() : nullptr;
    if (link != nullptr) {
        link->send(request, caller, tag, due);
    } else {
        if (room() == 0) return false;
        wait(request, caller, tag, due);
        if (!any_usable() && may_connect()) connect();
    }
    // After the end of this turn nobody would write it before the next one.
    if (turn_ended_ == reactor_.now_micros()) reactor_.wake_at(reactor_.now_micros());
    return true;
}

void H2Pool::Impl::wait(const H2Request& request, H2Caller& caller, std::uint64_t tag,
                        MonoMillis due) {
    waiting_.emplace_back(request, caller, tag, due);
    retime();
}

void H2Pool::Impl::connect() {
    auto made = std::make_unique<H2Link>(shared_);
    H2Link* const link = made.get();
    reactor_.adopt(std::move(made));
    links_.push_back(link);
    link->start();
}

void H2Pool::Impl::submit_waiting() {
    while (!waiting_.empty()) {
        H2Link* const link = link_with_room();
        if (link == nullptr) return;
        const H2Waiting first = std::move(waiting_.front());
        waiting_.pop_front();
        link->send(first.request(), first.caller(), first.tag(), first.due());
    }
}

void H2Pool::Impl::end_waiting(H2Answer::Kind kind, const char* reason) {
    for (std::size_t left = waiting_.size(); left != 0 && !waiting_.empty(); --left) {
        const H2Waiting first = std::move(waiting_.front());
        waiting_.pop_front();
        H2Answer answer;
        answer.kind = kind;
        answer.reason = reason;
        first.caller().on_answer(first.tag(), answer);
    }
}

void H2Pool::Impl::expire_waiting() {
    std::vector<H2Waiting> late;
    for (auto each = waiting_.begin(); each != waiting_.end();) {
        if (each->due() > reactor_.now()) {
            ++each;
            continue;
        }
        late.push_back(std::move(*each));
        each = waiting_.erase(each);
    }
    H2Answer answer;
    answer.kind = H2Answer::Kind::refused;
    answer.reason = "no connection took it in time";
    for (const H2Waiting& each : late) each.caller().on_answer(each.tag(), answer);
}

void H2Pool::Impl::on_link_ready(H2Link& /*link*/) {
    connects_["ok"].add();
    connections_gauge_.add(1);
    last_failure_.clear();
    news_ = true;
}

void H2Pool::Impl::on_link_answered(H2Link& /*link*/) {
    failures_ = 0;
    next_connect_ = 0;
    news_ = true;
}

void H2Pool::Impl::on_link_settings(H2Link& /*link*/) {
    news_ = true;
}

void H2Pool::Impl::on_link_goaway(H2Link& /*link*/, unsigned times, std::uint32_t error,
                                  std::string_view debug_data) {
    goaways_.add(times);
    log::info("push_connection_ended",
              {{"pool", options_.name}, {"error", error}, {"says", debug_data}});
    owner_.on_goaway(error, debug_data);
    news_ = true;
}

void H2Pool::Impl::on_link_ping_lost(H2Link& /*link*/) {
    pings_lost_.add();
    log::warn("push_connection_dead", {{"pool", options_.name}});
}

void H2Pool::Impl::on_link_ended(H2Link& link, H2LinkEnd how, const std::string& reason) {
    std::erase(links_, &link);
    reactor_.retire(link.handle());
    news_ = true;
    if (link.was_ready())
        connections_gauge_.add(-1);
    else
        connects_[name_of(how)].add();
    if (closed_ || link.answered() || link.renewed() || how == H2LinkEnd::idle) return;
    // It was of no use to anybody: a server that is down, or that refuses us.
    back_off();
    if (std::exchange(last_failure_, reason) != reason)
        log::warn("push_connection_failed", {{"pool", options_.name}, {"reason", reason}});
    if (!any_usable() && !connecting())
        end_waiting(H2Answer::Kind::unreachable, std::string{reason}.c_str());
}

std::chrono::milliseconds H2Pool::Impl::idle_timeout(const H2Link& link) const noexcept {
    const bool last = std::none_of(links_.begin(), links_.end(), [&](const H2Link* other) {
        return other != &link && other->ready() && !other->draining();
    });
    return last ? options_.idle_timeout : options_.spare_idle_timeout;
}

void H2Pool::Impl::back_off() {
    const std::int64_t start = std::max<std::int64_t>(options_.backoff_start.count(), 1);
    const std::int64_t most = std::max(options_.backoff_max.count(), start);
    std::int64_t delay = start;
    for (unsigned i = 0; i < failures_ && delay < most; ++i) delay *= 2;
    delay = std::min(delay, most);
    ++failures_;
    const std::int64_t half = (delay + 1) / 2;
    const auto spread = static_cast<std::uint64_t>(delay - half + 1);
    next_connect_ = reactor_.now() + half + static_cast<std::int64_t>(random_u64() % spread);
    retime();
}

void H2Pool::Impl::grow_if_busy() {
    if (links_.empty() || !may_connect()) return;
    const bool busy = std::all_of(links_.begin(), links_.end(), [](const H2Link* link) {
        return link->draining() || (link->ready() && link->full());
    });
    if (busy && any_usable()) connect();
}

void H2Pool::Impl::on_turn_end() {
    if (links_.empty() && !news_) return;
    if (!waiting_.empty()) {
        submit_waiting();
        // A connection that drains takes none; what waited for it waits for the next.
        if (!waiting_.empty() && !any_usable() && may_connect()) connect();
    }
    if (std::exchange(news_, false) && room() != 0) owner_.on_room();
    grow_if_busy();
    // Flushing may end a link, which leaves the list.
    for (std::size_t i = links_.size(); i-- > 0;)
        if (i < links_.size()) links_[i]->flush();
    turn_ended_ = reactor_.now_micros();
    // What callers sent when such an end was told waits for the next turn: it comes at once.
    const bool more = std::any_of(links_.begin(), links_.end(),
                                  [](const H2Link* link) { return link->touched(); });
    if (news_ || more) reactor_.wake_at(turn_ended_);
    count_open();
}

void H2Pool::Impl::count_open() {
    const std::size_t open = in_flight();
    streams_gauge_.add(static_cast<std::int64_t>(open) -
                       static_cast<std::int64_t>(streams_counted_));
    streams_counted_ = open;
}

void H2Pool::Impl::on_timer() {
    expire_waiting();
    if (next_connect_ != 0 && reactor_.now() >= next_connect_) news_ = true;
    retime();
}

void H2Pool::Impl::retime() {
    MonoMillis due = std::numeric_limits<MonoMillis>::max();
    if (next_connect_ > reactor_.now()) due = next_connect_;
    for (const H2Waiting& each : waiting_) due = std::min(due, each.due());
    if (due == std::numeric_limits<MonoMillis>::max()) return;
    reactor_.timers().set(*this,
                          std::chrono::milliseconds{std::max<MonoMillis>(due - reactor_.now(), 0)});
}

void H2Pool::Impl::renew_connections() {
    for (H2Link* const link : links_) link->renew();
    news_ = true;
    if (turn_ended_ == reactor_.now_micros()) reactor_.wake_at(turn_ended_);
}

void H2Pool::Impl::close() {
    closed_ = true;
    cancel();
    for (H2Link* const link : std::vector<H2Link*>{links_}) link->close(H2LinkEnd::closed, false);
    end_waiting(H2Answer::Kind::refused, "closed");
    count_open();
}

std::size_t H2Pool::Impl::connections() const noexcept {
    return static_cast<std::size_t>(std::count_if(
        links_.begin(), links_.end(), [](const H2Link* link) { return link->ready(); }));
}

std::size_t H2Pool::Impl::in_flight() const noexcept {
    std::size_t total = waiting_.size();
    for (const H2Link* const link : links_) total += link->open();
    return total;
}

H2Pool::H2Pool(net::Reactor& reactor, net::BlockingThread& resolver, H2PoolOwner& owner,
               H2Options options)
    : impl_(std::make_unique<Impl>(reactor, resolver, owner, std::move(options))) {}
H2Pool::~H2Pool() = default;
std::size_t H2Pool::room() const noexcept {
    return impl_->room();
}
bool H2Pool::send(const H2Request& request, H2Caller& caller, std::uint64_t tag) {
    return impl_->send(request, caller, tag);
}
void H2Pool::renew_connections() {
    impl_->renew_connections();
}
void H2Pool::close() {
    impl_->close();
}
std::size_t H2Pool::connections() const noexcept {
    return impl_->connections();
}
std::size_t H2Pool::in_flight() const noexcept {
    return impl_->in_flight();
}

} // namespace fanfare::http
