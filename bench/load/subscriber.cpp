#include "subscriber.hpp"

#include <cstring>

namespace load {
namespace {

// Small enough that a paused client's kernel does not swallow the whole run.
constexpr int slow_receive_buffer_bytes = 8 * 1024;

// A timestamp further back is not from this run, or not from this machine.
constexpr Duration latency_max = std::chrono::minutes{15};

} // namespace

Subscriber::Subscriber(Network& network, Tally& tally, Census& census, Room& room,
                       SubscriberOwner& owner, Settings settings)
    : tally_(tally), census_(census), room_(room), owner_(owner), network_(network),
      settings_(std::move(settings)), stream_(network, *this) {
    ++census_[static_cast<std::size_t>(state_)];
}

void Subscriber::connect(bool resume) {
    resuming_ = resume && was_live_;
    departure_ = {};
    connect_started_ = Clock::now();
    enter(SubscriberState::connecting);
    set_timer(settings_.connect_max);
    const int error = stream_.connect(settings_.slow ? slow_receive_buffer_bytes : 0);
    if (error != 0) on_ended(error);
}

void Subscriber::connect_after(Duration delay, bool resume) {
    resuming_ = resume;
    enter(SubscriberState::waiting);
    set_timer(delay);
}

void Subscriber::leave(bool orderly) {
    departure_.ours = true;
    const std::string goodbye = orderly ? settings_.protocol->goodbye() : std::string{};
    if (goodbye.empty()) return finish();
    stream_.pause(false); // a slow client must read to see the server's Close
    stream_.send(goodbye);
    enter(SubscriberState::leaving);
    set_timer(settings_.close_max);
}

std::uint64_t Subscriber::behind() const {
    // In another epoch nothing of the room's present life has arrived yet.
    if (epoch_ != room_.epoch) return room_.newest;
    return room_.newest - std::min(room_.newest, sequence_.last());
}

void Subscriber::on_connected() {
    const Position position{.epoch = epoch_, .offset = sequence_.last(), .cursor = cursor_};
    stream_.send(settings_.protocol->open(resuming_ ? &position : nullptr));
}

std::size_t Subscriber::on_bytes(std::string_view bytes) {
    // Once per read, not per message: the bytes arrived together.
    received_ = network_.kernel_timestamps ? network_.arrived : Clock::now();
    return settings_.protocol->read(bytes, *this);
}

void Subscriber::on_ended(int error) {
    if (state_ == SubscriberState::connecting) {
        on_refused(error == 0 ? "closed" : ::strerrorname_np(error));
    } else if (state_ == SubscriberState::live || state_ == SubscriberState::leaving) {
        if (departure_.code.empty()) {
            departure_.code = "1006";
            const bool asked = state_ == SubscriberState::leaving && departure_.ours;
            if (asked && error == 0) on_fault("ws_close_not_answered");
        }
        finish();
    }
}

void Subscriber::on_timer(std::uint32_t token) {
    if (token != timer_token_) return;
    switch (state_) {
    case SubscriberState::waiting:
        return connect(resuming_);
    case SubscriberState::connecting:
        return on_refused("timeout");
    case SubscriberState::leaving:
        ++tally_.close_timeouts;
        return finish();
    case SubscriberState::absent:
    case SubscriberState::live:
        return;
    }
}

void Subscriber::on_status(int status) {
    ++(settings_.is_ws ? tally_.ws_statuses : tally_.sse_statuses)[status];
}

void Subscriber::on_live(const Start& start) {
    epoch_ = start.epoch;
    room_.note(start.epoch, start.offset);
    live_from_ = start.offset;
    if (!resuming_) {
        sequence_.start(start.offset);
    } else if (start.recovered) {
        ++tally_.recovered; // and the sequence goes on where it was
    } else {
        ++(settings_.slow ? tally_.slow_unrecovered : tally_.unrecovered);
        sequence_.start(start.offset);
    }
    tally_.last_live = Clock::now();
    tally_.subscribe_time.record(tally_.last_live - connect_started_);
    if (was_live_) {
        ++tally_.reconnects;
    } else {
        ++tally_.subscribed;
    }
    was_live_ = true;
    enter(SubscriberState::live);
    owner_.on_live(*this);
}

void Subscriber::on_message(const Delivery& delivery) {
    ++tally_.deliveries;
    tally_.last_delivery = received_;
    switch (sequence_.accept(delivery.offset)) {
    case Arrival::expected:
        break;
    case Arrival::skipping:
        ++tally_.skips;
        break;
    case Arrival::late:
        ++tally_.disorder;
        break;
    case Arrival::duplicate:
        ++tally_.duplicates;
        return;
    }
    room_.newest = std::max(room_.newest, delivery.offset);
    if (delivery.offset <= live_from_) {
        ++tally_.replayed;
    } else if (delivery.sent_ns && !settings_.slow) {
        const Duration latency =
            received_.time_since_epoch() - Duration{static_cast<std::int64_t>(*delivery.sent_ns)};
        if (latency >= latency_max) return;
        tally_.latency.record(latency);
        if (tally_.keeps_samples) tally_.samples.push_back({*delivery.sent_ns, latency});
        if (room_.arrivals && room_.arrivals->add(delivery.offset, room_.receivers)) {
            tally_.last_receive.record(latency);
        }
    }
}

void Subscriber::on_reset(const Start& start) {
    ++(settings_.slow ? tally_.slow_resets : tally_.resets);
    epoch_ = start.epoch;
    room_.note(start.epoch, start.offset);
    sequence_.start(start.offset);
    live_from_ = start.offset;
}

void Subscriber::on_refused(std::string reason) {
    stream_.close();
    enter(SubscriberState::absent);
    owner_.on_refused(*this, reason);
}

void Subscriber::on_ending(Ending ending) {
    if (state_ == SubscriberState::connecting) return on_refused("close_" + ending.code);
    departure_.code = std::move(ending.code);
    departure_.reconnect_in = ending.reconnect_in;
    if (!ending.await_fin) return finish();
    if (state_ == SubscriberState::live) set_timer(settings_.close_max);
    enter(SubscriberState::leaving);
}

void Subscriber::on_other(std::string_view what) {
    const auto found = tally_.others.find(what);
    if (found != tally_.others.end()) {
        ++found->second;
    } else {
        tally_.others.emplace(what, 1);
    }
}

void Subscriber::on_inflated(std::size_t bytes) {
    ++tally_.compressed;
    tally_.inflated_bytes += bytes;
}

void Subscriber::enter(SubscriberState state) {
    --census_[static_cast<std::size_t>(state_)];
    if (state_ == SubscriberState::live) --room_.receivers;
    if (state == SubscriberState::live) ++room_.receivers;
    state_ = state;
    ++census_[static_cast<std::size_t>(state_)];
}

void Subscriber::set_timer(Duration delay) {
    network_.timers.schedule(Clock::now() + delay, *this, ++timer_token_);
}

void Subscriber::finish() {
    stream_.close();
    cursor_ = settings_.protocol->cursor();
    enter(SubscriberState::absent);
    owner_.on_gone(*this, departure_);
}

} // namespace load
