#include "publishing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace load {
namespace {

/// Words that compress about as well as text does. Constant bytes would flatter a server with
/// permessage-deflate, random ones would insult it.
std::string make_filler(std::size_t size) {
    constexpr std::string_view letters = "etaoinshrdlu";
    std::string out;
    std::uint32_t state = 1;
    const auto draw = [&state] { return (state = state * 1664525 + 1013904223) >> 16; };
    while (out.size() < size) {
        for (std::uint32_t n = 2 + draw() % 6; n > 0; --n) out += letters[draw() % letters.size()];
        out += ' ';
    }
    out.resize(size);
    return out;
}

/// The only line of a file. Throws std::invalid_argument.
std::string read_line(const std::string& path) {
    std::ifstream file{path};
    std::string line;
    std::string more;
    if (!std::getline(file, line) || line.empty() || std::getline(file, more)) {
        throw std::invalid_argument("--data-file " + path + ": must be one line of JSON");
    }
    return line;
}

} // namespace

Publishing::Publishing(Network& network, Tally& tally, Rooms& rooms, const Options& options)
    : options_(options), filler_(make_filler(options.payload_bytes)), tally_(tally), rooms_(rooms) {
    if (!options.data_file.empty()) data_json_ = read_line(options.data_file);
    target_ = options.dialect == Dialect::nchan ? "/pub?id="
              : !options.notify.empty()         ? "/api/v1/notifications"
              : options.batch > 0               ? "/api/v1/publish/batch"
                                                : "/api/v1/publish";
    head_ = " HTTP/1.1\r\nHost: " + network.server.host + "\r\n";
    if (!options.api_key.empty()) head_ += "X-API-Key: " + options.api_key + "\r\n";
    head_ += options.ndjson ? "Content-Type: application/x-ndjson\r\nContent-Length: "
                            : "Content-Type: application/json\r\nContent-Length: ";
    for (std::size_t i = 0; i < options.publishers; ++i) {
        publishers_.push_back(std::make_unique<Publisher>(
            network, tally, *this,
            Publisher::Settings{.patient = options.reconnect,
                                .gets_positions = options.dialect == Dialect::fanfare &&
                                                  options.notify.empty()}));
    }
}

void Publishing::connect() {
    for (const auto& publisher : publishers_) publisher->connect();
}

void Publishing::start(Instant now) {
    running_ = true;
    started_ = now;
    tally_.first_publish = now;
    tally_.last_answer = now;
}

void Publishing::tick(Instant now) {
    while (is_due(now) && !idle_.empty()) {
        Publisher& publisher = *idle_.front();
        idle_.pop_front();
        send_next(publisher, now);
    }
}

void Publishing::on_ready(Publisher& publisher) {
    // With nobody before it in the queue, the next message need not wait for the next tick.
    const Instant now = Clock::now();
    if (idle_.empty() && is_due(now)) return send_next(publisher, now);
    idle_.push_back(&publisher);
}

void Publishing::on_over(Publisher& /*publisher*/) {
    --in_flight_;
}

void Publishing::on_lost(Publisher& publisher) {
    std::erase(idle_, &publisher);
}

void Publishing::on_given_up(Publisher& /*publisher*/) {
    ++given_up_;
}

bool Publishing::is_finished() const {
    if (given_up_ == publishers_.size()) return true;
    return !running_ && in_flight_ == 0;
}

Instant Publishing::due_at(std::uint64_t message) const {
    if (options_.rate <= 0) return started_;
    return started_ + seconds(static_cast<double>(message) / options_.rate);
}

bool Publishing::is_due(Instant now) {
    const bool all_sent = options_.messages > 0 && tally_.attempted >= options_.messages;
    const bool time_over =
        options_.duration_s > 0 && now - started_ >= seconds(options_.duration_s);
    if (all_sent || time_over) running_ = false;
    return running_ && due_at(tally_.attempted) <= now;
}

Instant Publishing::next_due() const {
    return running_ && !idle_.empty() ? due_at(tally_.attempted) : Instant::max();
}

void Publishing::send_next(Publisher& publisher, Instant now) {
    if (options_.rate > 0) tally_.schedule_lag.record(now - due_at(tally_.attempted));
    body_.clear();
    Room* const room = append_publish(now);
    std::size_t messages = 1;
    if (options_.batch > 0) {
        if (!options_.ndjson) body_.insert(body_.begin(), '[');
        for (; messages < options_.batch; ++messages) {
            body_ += options_.ndjson ? '\n' : ',';
            append_publish(now);
        }
        if (!options_.ndjson) body_ += ']';
    }
    request_.clear();
    const bool by_url = options_.dialect == Dialect::nchan;
    fmt::format_to(std::back_inserter(request_), "POST {}{}{}{}\r\n\r\n{}", target_,
                   by_url ? std::string_view{room->name} : "", head_, body_.size(), body_);
    ++in_flight_;
    publisher.send(request_, room, messages, now);
}

Room* Publishing::append_publish(Instant now) {
    const std::uint64_t message = tally_.attempted++;
    const std::size_t index = message % options_.rooms;
    Room* const room = rooms_.empty() ? nullptr : &rooms_[index];
    if (options_.dialect == Dialect::nchan && room != nullptr) {
        append_numbered(*room, message / options_.rooms + 1);
    } else if (!options_.notify.empty()) {
        fmt::format_to(std::back_inserter(body_),
                       R"({{"user_id":"{}{}","title":"Order shipped","channels":["{}"],"data":)",
                       options_.room_prefix, index, options_.notify);
    } else {
        fmt::format_to(std::back_inserter(body_), R"({{"room":"{}{}","data":)",
                       options_.room_prefix, index);
    }
    const std::size_t data_begin = body_.size();
    fmt::format_to(std::back_inserter(body_), R"({{"n":{},"t":{},"p":)", message,
                   now.time_since_epoch().count());
    if (!data_json_.empty()) {
        body_ += data_json_;
        body_ += "}}";
        return room;
    }
    body_ += '"';
    const std::size_t used = body_.size() - data_begin + 2; // with the closing `"}`
    body_.append(filler_, 0, options_.payload_bytes - std::min(options_.payload_bytes, used));
    body_ += "\"}}";
    return room;
}

void Publishing::append_numbered(Room& room, std::uint64_t offset) {
    fmt::format_to(std::back_inserter(body_), R"({{"op":"message","room":"{}","offset":{},"data":)",
                   room.name, offset);
    room.note(nchan_epoch, offset);
}

} // namespace load
