#include "publisher.hpp"

#include "json_scan.hpp"

#include <algorithm>
#include <cstring>

namespace load {
namespace {

constexpr Duration retry_delay = std::chrono::milliseconds{200};
constexpr Duration away_max = std::chrono::seconds{10};

} // namespace

Publisher::Publisher(Network& network, Tally& tally, PublisherOwner& owner, Settings settings)
    : network_(network), tally_(tally), owner_(owner), settings_(settings),
      stream_(network, *this) {}

void Publisher::connect() {
    if (away_since_ == Instant{}) away_since_ = Clock::now();
    state_ = State::connecting;
    const int error = stream_.connect(0);
    if (error != 0) on_ended(error);
}

void Publisher::send(std::string_view request, Room* room, std::size_t messages, Instant now) {
    sent_ = now;
    room_ = room;
    messages_ = messages;
    state_ = State::head;
    stream_.send(request);
}

void Publisher::on_connected() {
    away_since_ = {};
    state_ = State::idle;
    owner_.on_ready(*this);
}

std::size_t Publisher::on_bytes(std::string_view bytes) {
    std::size_t used = 0;
    if (state_ == State::head) {
        const HeadResult result = parse_response_head(bytes);
        if (result.status == HeadStatus::need_more) return 0;
        if (result.status == HeadStatus::bad) {
            ++tally_.faults["publish_bad_http"];
            reconnect(retry_delay);
            return 0;
        }
        status_ = result.head.status;
        close_after_ = result.head.close;
        body_ = BodyReader{result.head};
        body_text_.clear();
        used = result.head.size;
        state_ = State::body;
    }
    while (state_ == State::body && !body_.is_complete()) {
        const BodyReader::Piece piece = body_.next(bytes.substr(used));
        used += piece.used;
        body_text_ += piece.data;
        if (piece.bad) {
            ++tally_.faults["publish_bad_chunk"];
            reconnect(retry_delay);
            return 0;
        }
        if (piece.used == 0) return used;
    }
    if (state_ != State::body) {
        ++tally_.faults["publish_answer_unasked"];
        return bytes.size();
    }
    on_answer();
    return used;
}

void Publisher::on_answer() {
    const Instant now = Clock::now();
    ++tally_.publish_statuses[status_];
    tally_.last_answer = now;
    if (messages_ > 1 && status_ == 200) {
        on_batch_answer();
    } else if (status_ >= 200 && status_ < 300) {
        ++tally_.published;
        tally_.publish_time.record(now - sent_);
        const std::string_view epoch = find_text(body_text_, "\"epoch\":");
        if (const auto offset = find_number(body_text_, "\"offset\":")) {
            if (room_ != nullptr) room_->note(epoch, *offset);
        } else if (settings_.gets_positions) {
            ++tally_.faults["publish_answer_without_offset"];
        }
    } else {
        tally_.publish_refused += messages_;
    }
    state_ = State::idle;
    owner_.on_over(*this);
    // Asked for by the server and no failure: the next connection is made in the next turn.
    if (close_after_) return reconnect(Duration::zero());
    owner_.on_ready(*this);
}

void Publisher::on_batch_answer() {
    tally_.publish_time.record(tally_.last_answer - sent_);
    constexpr std::string_view key = "\"offset\":";
    std::size_t results = 0;
    for (std::size_t at = 0; (at = body_text_.find(key, at)) != body_text_.npos; at += key.size()) {
        ++results;
    }
    tally_.published += results;
    tally_.publish_refused += messages_ - std::min(messages_, results);
    if (results > messages_) ++tally_.faults["publish_answer_with_too_many_results"];
}

void Publisher::on_ended(int error) {
    if (state_ == State::connecting) {
        ++tally_.publisher_connect_failures[::strerrorname_np(error)];
    }
    reconnect(retry_delay);
}

void Publisher::reconnect(Duration delay) {
    stream_.close();
    const bool had_request = state_ == State::head || state_ == State::body;
    state_ = State::away;
    if (had_request) {
        tally_.publish_broken += messages_;
        owner_.on_over(*this);
    }
    owner_.on_lost(*this);
    const Instant now = Clock::now();
    if (away_since_ == Instant{}) away_since_ = now;
    if (!settings_.patient && now - away_since_ > away_max) return owner_.on_given_up(*this);
    network_.timers.schedule(now + delay, *this, 0);
}

void Publisher::on_timer(std::uint32_t /*token*/) {
    if (state_ == State::away) connect();
}

} // namespace load
