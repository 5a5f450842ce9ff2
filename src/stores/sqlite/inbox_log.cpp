#include "inbox_log.hpp"

#include "inbox_reads.hpp"
#include "inbox_tasks.hpp"

#include <fanfare/base/bytes.hpp>

#include <utility>

namespace fanfare::stores {
namespace {

constexpr std::string_view inbox_room = "@me";

Gauge& depth_cell(Metrics& metrics) {
    return metrics.gauge("inbox_depth", "Notifications that are pending.");
}

} // namespace

room::MessageRef inbox_message(const NotificationRow& row, const Epoch& epoch,
                               std::uint32_t attempt) {
    static const std::uint64_t room_hash = hash_bytes(inbox_room);
    const std::string id = row.id.text();
    room::Message::Parts parts;
    parts.room = inbox_room;
    parts.data = row.data;
    parts.id = id;
    parts.attempt = static_cast<std::uint8_t>(attempt);
    const room::DraftRef message = room::Message::make(parts, room_hash);
    // Its age goes on from what it is now.
    const MonoMicros age = (system_clock().wall() - row.created) * 1'000;
    message->number({epoch, row.offset}, row.created, system_clock().mono_micros() - age);
    return message;
}

SqliteInbox::SqliteInbox(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                         DeviceRows& devices, const SqliteOptions& options, Metrics& metrics)
    : writer_(writer), reader_(reader), read_(std::make_unique<ReadStatements>(reader_database)),
      push_(writer.database()), sends_(writer.database()), rows_(writer.database(), push_, sends_),
      devices_(devices), depth_(depth_cell(metrics)),
      redeliveries_(metrics.counter("inbox_redeliveries_total",
                                    "Attempts to deliver a notification, from the second on.")),
      // Status 0: pending.
      counted_(options.path, options.vfs, "notifications", "status", {&depth_cell(metrics)}) {
    for (std::size_t i = 0; i < moves_.size(); ++i)
        moves_[i] = &metrics.counter(
            "notifications_total", "Notifications that came to a status.",
            {{"status", std::string{status_name(static_cast<delivery::Status>(i))}}});
}

SqliteInbox::~SqliteInbox() = default;

void SqliteInbox::set_options(const delivery::InboxOptions& options) {
    ack_timeout_.store(options.ack_timeout, std::memory_order_relaxed);
    attempts_.store(options.attempts, std::memory_order_relaxed);
    keep_.store(options.keep, std::memory_order_relaxed);
    const std::lock_guard lock{reaches_mutex_};
    const delivery::PushReach* const before = pushes_to_.load(std::memory_order_relaxed);
    if (before != nullptr ? *before == options.pushes_to : options.pushes_to.empty()) return;
    reaches_.push_back(std::make_unique<const delivery::PushReach>(options.pushes_to));
    pushes_to_.store(reaches_.back().get(), std::memory_order_release);
}

void SqliteInbox::on_changes(Tell tell) {
    told_ = std::make_unique<const Tell>(std::move(tell));
    tell_.store(told_.get(), std::memory_order_release);
}

Moment SqliteInbox::moment() const {
    Moment moment;
    moment.now = system_clock().wall();
    moment.options.ack_timeout = ack_timeout_.load(std::memory_order_relaxed);
    moment.options.attempts = attempts_.load(std::memory_order_relaxed);
    moment.options.keep = keep_.load(std::memory_order_relaxed);
    const delivery::PushReach* const reach = pushes_to_.load(std::memory_order_acquire);
    if (reach != nullptr) moment.options.pushes_to = *reach;
    return moment;
}

void SqliteInbox::settled(bool committed) noexcept {
    live_.settled(committed);
    const InboxTally tally = std::exchange(rows_.tally, {});
    const std::vector<delivery::StatusChange> untold = std::exchange(rows_.untold, {});
    if (!committed) return;
    depth_.add(tally.depth);
    redeliveries_.add(tally.redeliveries);
    for (std::size_t i = 0; i < moves_.size(); ++i) moves_[i]->add(tally.moves[i]);
    if (untold.empty()) return;
    if (const Tell* const tell = tell_.load(std::memory_order_acquire); tell != nullptr)
        (*tell)(untold);
}

} // namespace fanfare::stores
