#include "disturbance.hpp"

#include "fleet.hpp"

#include <algorithm>
#include <utility>

namespace load {
namespace {

/// Walks round the fleet, so that in time every client has its turn.
class Turn {
  public:
    explicit Turn(Fleet& fleet) : fleet_(fleet) {}

    /// Drops the next client that is live. Every other time in an orderly way. False: nobody is.
    bool drop_next(Duration away, bool resume) {
        for (std::size_t steps = 0; steps < fleet_.size(); ++steps) {
            const std::size_t index = next_++ % fleet_.size();
            if (fleet_.at(index).state() != SubscriberState::live) continue;
            orderly_ = !orderly_;
            fleet_.drop(index, orderly_, away, resume);
            return true;
        }
        return false;
    }

  private:
    Fleet& fleet_;
    std::size_t next_ = 0;
    bool orderly_ = false;
};

class Calm final : public Disturbance {
  public:
    void tick(Instant /*now*/) override {}
    void stop() override {}
    [[nodiscard]] bool is_settled() const override { return true; }
};

/// Every so often a fraction of the clients loses its connection and resumes.
class Drops final : public Disturbance {
  public:
    Drops(const Options& options, Fleet& fleet, Instant now)
        : fleet_(fleet), turn_(fleet), every_(seconds(options.every_s)),
          away_(seconds(options.away_s)),
          at_once_(std::max<std::size_t>(
              1, static_cast<std::size_t>(options.fraction * static_cast<double>(fleet.size())))),
          next_(now + every_ / 2) {}

    void tick(Instant now) override {
        if (stopped_ || now < next_) return;
        next_ += every_;
        for (std::size_t i = 0; i < at_once_ && turn_.drop_next(away_, true); ++i) {
        }
    }

    void stop() override { stopped_ = true; }
    [[nodiscard]] bool is_settled() const override { return fleet_.all_back(); }

  private:
    Fleet& fleet_;
    Turn turn_;
    const Duration every_;
    const Duration away_;
    const std::size_t at_once_;
    Instant next_;
    bool stopped_ = false;
};

/// The clients marked as slow do not read for a while.
class Pauses final : public Disturbance {
  public:
    Pauses(const Options& options, Fleet& fleet, Instant now)
        : fleet_(fleet), until_(now + seconds(options.pause_s)) {
        pause_all(true);
    }

    void tick(Instant now) override {
        if (!paused_ || now < until_) return;
        paused_ = false;
        pause_all(false);
    }

    void stop() override {} // the pause goes on to its end
    [[nodiscard]] bool is_settled() const override { return !paused_; }

  private:
    void pause_all(bool paused) {
        for (std::size_t i = 0; i < fleet_.size(); ++i) {
            if (fleet_.at(i).is_slow()) fleet_.at(i).pause(paused);
        }
    }

    Fleet& fleet_;
    const Instant until_;
    bool paused_ = true;
};

/// Clients leave all the time, and as many new ones come.
class Churn final : public Disturbance {
  public:
    Churn(const Options& options, Fleet& fleet, Instant now)
        : fleet_(fleet), turn_(fleet), rate_(options.churn_rate), away_(seconds(options.away_s)),
          started_(now) {}

    void tick(Instant now) override {
        if (stopped_) return;
        const auto due = static_cast<std::size_t>(to_seconds(now - started_) * rate_);
        while (dropped_ < due) {
            ++dropped_; // also when nobody was there: what was missed is not made up for
            turn_.drop_next(away_, false);
        }
    }

    void stop() override { stopped_ = true; }
    [[nodiscard]] bool is_settled() const override { return fleet_.all_back(); }

  private:
    Fleet& fleet_;
    Turn turn_;
    const double rate_;
    const Duration away_;
    const Instant started_;
    std::size_t dropped_ = 0;
    bool stopped_ = false;
};

/// All clients lose their connections, and return together when everything has been published.
class Storm final : public Disturbance {
  public:
    Storm(const Options& options, Fleet& fleet) : fleet_(fleet), away_(seconds(options.away_s)) {
        for (std::size_t i = 0; i < fleet.size(); ++i) fleet.send_away(i);
    }

    void tick(Instant now) override {
        if (!stopped_) return;
        if (return_at_ == Instant{}) return_at_ = now + away_;
        if (now < return_at_) return;
        if (!std::exchange(returning_, true)) fleet_.begin_return(now);
        fleet_.connect_due(now);
    }

    void stop() override { stopped_ = true; }
    [[nodiscard]] bool is_settled() const override {
        return returning_ && fleet_.all_settled() && fleet_.all_back();
    }

  private:
    Fleet& fleet_;
    const Duration away_;
    bool stopped_ = false;
    bool returning_ = false;
    Instant return_at_{};
};

} // namespace

std::unique_ptr<Disturbance> make_disturbance(const Options& options, Fleet& fleet, Instant now) {
    switch (options.mode) {
    case Mode::resume:
        return std::make_unique<Drops>(options, fleet, now);
    case Mode::slow:
        return std::make_unique<Pauses>(options, fleet, now);
    case Mode::churn:
        return std::make_unique<Churn>(options, fleet, now);
    case Mode::storm:
        return std::make_unique<Storm>(options, fleet);
    case Mode::idle:
    case Mode::broadcast:
    case Mode::publish:
        break;
    }
    return std::make_unique<Calm>();
}

} // namespace load
