#include "durable_log.hpp"

#include "publish_keys.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace fanfare::stores {

using room::LoggedRoomRef;
using room::MessageRef;

namespace {

/// A room that is to be forgotten gets a name that no room can have: what it holds goes in slices.
constexpr const char* bury_by_name = "UPDATE rooms SET name = '@gone:' || id WHERE name = ?1";
constexpr std::string_view buried = "@gone:";

constexpr std::chrono::milliseconds pass_interval{10'000};
constexpr std::chrono::milliseconds slice_interval{200};
constexpr std::size_t rooms_per_slice = 500;

MessageRef message_of(const Statement& row, std::string_view room, std::uint64_t room_hash,
                      const Epoch& epoch, WallMillis wall, MonoMicros mono) {
    room::Message::Parts parts;
    parts.room = room;
    parts.event = row.text(2);
    parts.id = row.text(3);
    parts.from = row.text(4);
    parts.data = row.text(5);
    const room::DraftRef message = room::Message::make(parts, room_hash);
    const WallMillis time = row.integer(1);
    // Its age goes on from what it is now.
    message->number({epoch, static_cast<std::uint64_t>(row.integer(0))}, time,
                    mono - (wall - time) * 1'000);
    return message;
}

} // namespace

/// A room as both sides know it.
class SqliteLog::Place final : public room::LoggedRoom {
  public:
    Place(std::string_view room, std::uint64_t room_hash, const Epoch& of)
        : name(room), hash(room_hash), epoch(of) {}

    const std::string name;
    const std::uint64_t hash;
    const Epoch epoch;
    std::int64_t read_id = 0; // home reactor; 0: nothing is stored yet

    /// The writer's side.
    struct Written {
        std::int64_t id = 0;
        std::uint64_t newest = 0;
        WallMillis time = 0;          // of the newest: a clock that steps back must not reorder
        std::uint32_t generation = 0; // in which the row was there; 0: it is not known to be
        bool replaces = false;        // what is stored under the name is another life
    };
    Written written;
};

struct SqliteLog::WriteStatements {
    explicit WriteStatements(Database& database)
        : db(database),
          insert(database, "INSERT INTO messages (room, offset, time, event, id, sender, data) "
                           "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
          insert_key(database, insert_publish_key), bury(database, bury_by_name),
          insert_room(database, "INSERT INTO rooms (name, epoch, newest, used) VALUES "
                                "(?1, ?2, ?3, ?4) ON CONFLICT (name) DO NOTHING"),
          find_room(database, "SELECT id FROM rooms WHERE name = ?1"),
          oldest(database, "SELECT offset FROM messages WHERE room = ?1 ORDER BY offset LIMIT 1"),
          newest(database, "SELECT offset, time FROM messages WHERE room = ?1 "
                           "ORDER BY offset DESC LIMIT 1"),
          mark(database, "UPDATE rooms SET newest = max(newest, ?2), used = max(used, ?3) "
                         "WHERE id = ?1"),
          drop(database, "DELETE FROM messages WHERE room = ?1 AND offset < ?2 AND "
                         "(offset < ?3 OR time < ?4)"),
          next_rooms(database,
                     "SELECT id, name, used FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2"),
          drop_room(database, "DELETE FROM rooms WHERE id = ?1"),
          drop_keys(database, "DELETE FROM publish_keys WHERE (key, part) IN (SELECT key, part "
                              "FROM publish_keys WHERE expires < ?1 LIMIT ?2)") {}
    Database& db;
    Statement insert;
    Statement insert_key;
    Statement bury;
    Statement insert_room;
    Statement find_room;
    Statement oldest;
    Statement newest;
    Statement mark;
    Statement drop;
    Statement next_rooms;
    Statement drop_room;
    Statement drop_keys;
};

struct SqliteLog::ReadStatements {
    explicit ReadStatements(Database& database)
        : find(database, "SELECT id, epoch, newest FROM rooms WHERE name = ?1"),
          newest(database, "SELECT offset, time FROM messages WHERE room = ?1 "
                           "ORDER BY offset DESC LIMIT 1"),
          forwards(database, "SELECT offset, time, event, id, sender, data FROM messages "
                             "WHERE room = ?1 AND offset >= ?2 AND time >= ?3 "
                             "ORDER BY offset LIMIT ?4"),
          backwards(database, "SELECT offset, time, event, id, sender, data FROM messages "
                              "WHERE room = ?1 AND offset <= ?2 AND time >= ?3 "
                              "ORDER BY offset DESC LIMIT ?4") {}
    Statement find;
    Statement newest;
    Statement forwards;
    Statement backwards;

    /// `cut`: set if there was no room for the next one.
    std::vector<MessageRef> range(std::int64_t room, const room::LogRange& range,
                                  std::string_view name, std::uint64_t hash, const Epoch& epoch,
                                  bool& cut) {
        std::vector<MessageRef> messages;
        Statement& rows = range.reverse ? backwards : forwards;
        rows.bind(room,
                  static_cast<std::int64_t>(std::min<std::uint64_t>(
                      range.first, std::numeric_limits<std::int64_t>::max())),
                  range.not_before, static_cast<std::int64_t>(range.limit));
        const WallMillis wall = system_clock().wall();
        const MonoMicros mono = system_clock().mono_micros();
        std::size_t bytes = 0;
        while (rows.step()) {
            MessageRef message = message_of(rows, name, hash, epoch, wall, mono);
            bytes += message->data().size() + name.size() + 160; // as Room estimates it
            cut = !messages.empty() && bytes > range.bytes_max;
            if (cut) break;
            messages.push_back(std::move(message));
        }
        rows.reset(); // an open statement would keep the log from beginning anew
        return messages;
    }
};

SqliteLog::SqliteLog(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                     std::chrono::milliseconds key_window,
                     std::shared_ptr<const Retention> retention)
    : writer_(writer), reader_(reader), key_window_(key_window), retention_(std::move(retention)),
      write_(std::make_unique<WriteStatements>(writer.database())),
      read_(std::make_unique<ReadStatements>(reader_database)) {}

SqliteLog::~SqliteLog() = default;

// --- writing ---

class SqliteLog::Append final : public WriteTask {
  public:
    Append(SqliteLog& log, std::shared_ptr<Place> place, MessageRef message, WallMillis time,
           const room::IdempotencyKey* key, std::uint32_t part,
           std::function<void(const room::Appended&)> tell)
        : log_(log), place_(std::move(place)), message_(std::move(message)), time_(time),
          part_(part), tell_(std::move(tell)) {
        if (key != nullptr) key_ = std::make_unique<room::IdempotencyKey>(*key);
    }
    [[nodiscard]] std::size_t bytes() const noexcept override {
        return message_->data().size() + 256;
    }
    void apply() override {
        before_ = place_->written;
        log_.ensure_row(*place_);
        Place::Written& written = place_->written;
        time_ = std::max(time_, written.time);
        const std::uint64_t offset = written.newest + 1;
        WriteStatements& write = *log_.write_;
        write.insert
            .bind(written.id, offset, time_, Statement::or_null(message_->event()),
                  Statement::or_null(message_->id()), Statement::or_null(message_->from()),
                  message_->data())
            .run();
        if (key_)
            write.insert_key
                .bind(std::string_view{key_->text}, part_, key_->fingerprint, place_->epoch.text(),
                      offset, system_clock().wall() + log_.key_window_.count())
                .run();
        written.newest = offset;
        written.time = time_;
        offset_ = offset;
        id_ = written.id;
    }
    void undo() noexcept override { place_->written = before_; }
    void done() override {
        if (code == Code::ok) place_->read_id = id_;
        tell_({code, detail, offset_, time_});
    }

  private:
    SqliteLog& log_;
    std::shared_ptr<Place> place_;
    MessageRef message_;
    WallMillis time_;
    std::uint32_t part_;
    std::unique_ptr<room::IdempotencyKey> key_;
    std::function<void(const room::Appended&)> tell_;
    Place::Written before_;
    std::uint64_t offset_ = 0;
    std::int64_t id_ = 0;
};

void SqliteLog::ensure_row(Place& place) {
    Place::Written& written = place.written;
    if (written.generation == generation_) return;
    if (written.replaces) write_->bury.bind(std::string_view{place.name}).run();
    write_->insert_room
        .bind(std::string_view{place.name}, place.epoch.text(), written.newest,
              system_clock().wall())
        .run();
    write_->find_room.bind(std::string_view{place.name});
    if (!write_->find_room.step()) throw SqliteError{1, "a room that was inserted is not there"};
    written.id = write_->find_room.integer(0);
    write_->find_room.reset();
    written.generation = generation_;
    written.replaces = false;
}

class SqliteLog::Erase final : public WriteTask {
  public:
    Erase(SqliteLog& log, std::shared_ptr<Place> place) : log_(log), place_(std::move(place)) {}
    void apply() override {
        // If it fails, the sweep does it: the room's rule is no longer durable.
        log_.write_->bury.bind(std::string_view{place_->name}).run();
    }
    void done() override {}

  private:
    SqliteLog& log_;
    std::shared_ptr<Place> place_;
};

class SqliteLog::Trim final : public WriteTask {
  public:
    Trim(SqliteLog& log, std::shared_ptr<Place> place, std::uint64_t first)
        : log_(log), place_(std::move(place)), first_(first) {}
    void apply() override {
        if (place_->written.id == 0) return;
        log_.trims_.push_back({place_->written.id, first_});
        log_.due_ = 0;
    }
    void done() override {}

  private:
    SqliteLog& log_;
    std::shared_ptr<Place> place_;
    std::uint64_t first_;
};

bool SqliteLog::append(const LoggedRoomRef& room, const MessageRef& message, WallMillis time,
                       const room::IdempotencyKey* key, std::uint32_t part,
                       std::function<void(const room::Appended&)> done) {
    return writer_.post(std::make_unique<Append>(*this, std::static_pointer_cast<Place>(room),
                                                 message, time, key, part, std::move(done)));
}

LoggedRoomRef SqliteLog::adopt(std::string_view room, const Position& newest) {
    auto place = std::make_shared<Place>(room, hash_bytes(room), newest.epoch);
    place->written.newest = newest.offset;
    place->written.replaces = true;
    return place;
}

void SqliteLog::trim(const LoggedRoomRef& room, std::uint64_t first) {
    // One that is not taken is made good by the next, or by the sweep.
    static_cast<void>(writer_.post_if_quiet(
        std::make_unique<Trim>(*this, std::static_pointer_cast<Place>(room), first)));
}

void SqliteLog::erase(const LoggedRoomRef& room) {
    writer_.post_always(std::make_unique<Erase>(*this, std::static_pointer_cast<Place>(room)));
}

// --- reading ---

class SqliteLog::Open final : public net::BlockingTask {
  public:
    Open(SqliteLog& log, std::string_view room, std::uint64_t hash, const Epoch& fresh,
         const room::LogRange& recent, std::function<void(room::OpenedRoom)> tell)
        : log_(log), name_(room), hash_(hash), fresh_(fresh), recent_(recent),
          tell_(std::move(tell)) {}

    void run() override {
        try {
            look();
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
            opened_.code = Code::unavailable;
            opened_.detail = fault_text(error.code());
        }
    }
    void done() override { tell_(std::move(opened_)); }

  private:
    void look() {
        ReadStatements& read = *log_.read_;
        read.find.bind(std::string_view{name_});
        if (!read.find.step()) {
            opened_.newest = {fresh_, 0};
            opened_.room = std::make_shared<Place>(name_, hash_, fresh_);
            return;
        }
        const Epoch epoch = Epoch::parse(read.find.text(1));
        auto place = std::make_shared<Place>(name_, hash_, epoch);
        Place::Written& written = place->written;
        place->read_id = written.id = read.find.integer(0);
        written.newest = static_cast<std::uint64_t>(read.find.integer(2));
        read.find.reset();
        read.newest.bind(written.id);
        if (read.newest.step()) {
            written.newest =
                std::max(written.newest, static_cast<std::uint64_t>(read.newest.integer(0)));
            written.time = read.newest.integer(1);
        }
        read.newest.reset();
        opened_.newest = {epoch, written.newest};
        room::LogRange range = recent_;
        range.first = written.newest;
        range.reverse = true;
        std::vector<MessageRef>& found = opened_.recent;
        bool cut = false;
        found = read.range(written.id, range, name_, hash_, epoch, cut);
        // Only what reaches up to the newest without a hole is a window.
        std::size_t kept = 0;
        while (kept < found.size() && found[kept]->position().offset == written.newest - kept)
            ++kept;
        found.resize(kept);
        std::reverse(found.begin(), found.end());
        opened_.room = std::move(place);
    }

    SqliteLog& log_;
    const std::string name_;
    const std::uint64_t hash_;
    const Epoch fresh_;
    const room::LogRange recent_;
    std::function<void(room::OpenedRoom)> tell_;
    room::OpenedRoom opened_;
};

class SqliteLog::Read final : public net::BlockingTask {
  public:
    Read(SqliteLog& log, std::shared_ptr<Place> place, const room::LogRange& range,
         std::function<void(room::LoggedMessages)> tell)
        : log_(log), place_(std::move(place)), id_(place_->read_id), range_(range),
          tell_(std::move(tell)) {}

    void run() override {
        if (id_ == 0) return;
        try {
            read_.messages = log_.read_->range(id_, range_, place_->name, place_->hash,
                                               place_->epoch, read_.cut);
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
            read_.code = Code::unavailable;
            read_.detail = fault_text(error.code());
        }
    }
    void done() override { tell_(std::move(read_)); }

  private:
    SqliteLog& log_;
    std::shared_ptr<Place> place_;
    const std::int64_t id_;
    const room::LogRange range_;
    std::function<void(room::LoggedMessages)> tell_;
    room::LoggedMessages read_;
};

void SqliteLog::open(std::string_view room, std::uint64_t room_hash, const Epoch& fresh,
                     const room::LogRange& recent, std::function<void(room::OpenedRoom)> done) {
    reader_.post(std::make_unique<Open>(*this, room, room_hash, fresh, recent, std::move(done)));
}

void SqliteLog::read(const LoggedRoomRef& room, const room::LogRange& range,
                     std::function<void(room::LoggedMessages)> done) {
    reader_.post(std::make_unique<Read>(*this, std::static_pointer_cast<Place>(room), range,
                                        std::move(done)));
}

// --- chores ---

std::size_t SqliteLog::drop_oldest(std::int64_t room, std::uint64_t first, WallMillis not_before,
                                   std::size_t rows) {
    WriteStatements& write = *write_;
    write.newest.bind(room);
    if (!write.newest.step()) return 0;
    const auto newest = static_cast<std::uint64_t>(write.newest.integer(0));
    const WallMillis time = write.newest.integer(1);
    write.newest.reset();
    write.oldest.bind(room);
    if (!write.oldest.step()) return 0;
    const auto oldest = static_cast<std::uint64_t>(write.oldest.integer(0));
    write.oldest.reset();
    // The newest message tells the position until it goes.
    if (newest < first || time < not_before) write.mark.bind(room, newest, time).run();
    write.drop.bind(room, oldest + rows, first, not_before).run();
    return static_cast<std::size_t>(write.db.changes());
}

std::size_t SqliteLog::sweep_room(std::int64_t id, std::string_view name, std::int64_t used,
                                  const Retention& retention, std::size_t rows) {
    const WallMillis now = system_clock().wall();
    const WallMillis position_from = now - retention.position_ttl.count();
    const room::Rule* const rule = name.starts_with(buried) ? nullptr : retention.rules->find(name);
    std::uint64_t first = 0;
    WallMillis not_before = position_from; // no rule: it lives out its time
    if (name.starts_with(buried) || (rule != nullptr && !rule->history.durable)) {
        first = std::numeric_limits<std::int64_t>::max();
        not_before = now;
        used = 0;
    } else if (rule != nullptr) {
        not_before = rule->history.ttl.count() == 0 ? 0 : now - rule->history.ttl.count();
        write_->newest.bind(id);
        if (write_->newest.step()) {
            const auto newest = static_cast<std::uint64_t>(write_->newest.integer(0));
            first = newest - std::min<std::uint64_t>(newest, rule->history.size) + 1;
        }
        write_->newest.reset();
    }
    const std::size_t dropped = drop_oldest(id, first, not_before, rows);
    // One that has just lost its last message has a mark of its own now: the next pass sees it.
    if (dropped != 0 || used >= position_from) return dropped;
    write_->oldest.bind(id);
    const bool empty = !write_->oldest.step();
    write_->oldest.reset();
    if (!empty) return dropped;
    write_->drop_room.bind(id).run();
    ++generation_;
    return 1;
}

void SqliteLog::slice(std::size_t rows) {
    const MonoMillis now = system_clock().mono();
    // What rooms asked for comes first: they are the busy ones.
    while (!trims_.empty() && rows != 0) {
        const TrimWish wish = trims_.front();
        const std::size_t dropped = drop_oldest(wish.room, wish.first, 0, rows);
        if (dropped < rows) trims_.pop_front();
        rows -= std::min(rows, dropped);
    }
    if (rows == 0) {
        due_ = now;
        return;
    }
    if (swept_to_ == 0) {
        if (now < pass_began_ + pass_interval.count() && pass_began_ != 0) {
            due_ = pass_began_ + pass_interval.count();
            return;
        }
        pass_began_ = now;
        write_->drop_keys.bind(system_clock().wall(), static_cast<std::int64_t>(rows)).run();
        rows -= std::min(rows, static_cast<std::size_t>(write_->db.changes()));
    }
    const std::shared_ptr<const Retention> retention = retention_.load();
    struct Found {
        std::int64_t id;
        std::string name;
        std::int64_t used;
    };
    std::vector<Found> found;
    write_->next_rooms.bind(swept_to_, static_cast<std::int64_t>(rooms_per_slice));
    while (write_->next_rooms.step())
        found.push_back({write_->next_rooms.integer(0), std::string{write_->next_rooms.text(1)},
                         write_->next_rooms.integer(2)});
    for (const Found& at : found) {
        if (rows == 0) {
            due_ = now;
            return;
        }
        const std::size_t dropped = sweep_room(at.id, at.name, at.used, *retention, rows);
        rows -= std::min(rows, dropped);
        if (rows != 0) swept_to_ = at.id; // else there may be more in it
    }
    if (found.size() < rooms_per_slice) swept_to_ = 0;
    due_ = swept_to_ == 0 ? pass_began_ + pass_interval.count() : now + slice_interval.count();
}

void SqliteLog::undo() noexcept {
    // What was dropped is there again, and will be found by the next pass.
    swept_to_ = 0;
    due_ = system_clock().mono() + pass_interval.count();
    ++generation_;
}

} // namespace fanfare::stores
