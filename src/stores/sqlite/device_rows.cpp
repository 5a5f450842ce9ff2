#include "device_rows.hpp"

#include <utility>
#include <vector>

namespace fanfare::stores {

using delivery::Platform;
using delivery::PushDevice;

struct DeviceRows::Statements {
    explicit Statements(Database& db)
        : find(db, "SELECT id FROM devices WHERE user = ?1 AND name = ?2"),
          owner(db, "SELECT id, user = ?3 FROM devices WHERE platform = ?1 AND token = ?2"),
          count(db, "SELECT count(*) FROM devices WHERE user = ?1"),
          platform_of(db, "SELECT platform FROM devices WHERE id = ?1"),
          insert(db, "INSERT INTO devices (user, name, platform, token, p256dh, auth, app, locale, "
                     "timezone, registered, expires, id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                     "?9, ?10, ?11, ?12)"),
          update(db, "UPDATE devices SET platform = ?2, token = ?3, p256dh = ?4, auth = ?5, "
                     "app = ?6, locale = ?7, timezone = ?8, registered = ?9, expires = ?10 "
                     "WHERE id = ?1"),
          add_topic(db, "INSERT INTO device_topics (topic, device) VALUES (?1, ?2)"),
          drop(db, "DELETE FROM devices WHERE id = ?1"),
          drop_topics(db, "DELETE FROM device_topics WHERE device = ?1"),
          by_id(db, "SELECT id, platform FROM devices WHERE id = ?1"),
          by_name(db, "SELECT id, platform FROM devices WHERE user = ?1 AND name = ?2"),
          by_user(db, "SELECT id, platform FROM devices WHERE user = ?1"),
          dead(db, "SELECT id, platform FROM devices WHERE platform = ?1 AND token = ?2 AND "
                   "(?3 = 0 OR registered <= ?3)"),
          expired_of(db, "SELECT id, platform FROM devices WHERE user = ?1 AND expires <= ?2"),
          expired(db, "SELECT id, platform FROM devices WHERE expires <= ?1 ORDER BY expires "
                      "LIMIT ?2"),
          next_expiry(db, "SELECT expires FROM devices WHERE expires IS NOT NULL "
                          "ORDER BY expires LIMIT 1") {}
    Statement find;
    Statement owner;
    Statement count;
    Statement platform_of;
    Statement insert;
    Statement update;
    Statement add_topic;
    Statement drop;
    Statement drop_topics;
    // to be removed: id, platform
    Statement by_id;
    Statement by_name;
    Statement by_user;
    Statement dead;
    Statement expired_of;
    Statement expired;
    Statement next_expiry;
};

DeviceRows::DeviceRows(Database& database) : sql_(new Statements{database}) {
    Statement newest{database, "SELECT max(coalesce((SELECT max(id) FROM devices), 0), "
                               "coalesce((SELECT max(device) FROM push_jobs), 0))"};
    if (newest.step()) last_id_ = newest.integer(0);
}

void DeviceRows::Delete::operator()(Statements* statements) const noexcept {
    delete statements;
}

// --- one device ---

std::optional<DeviceRows::Row> DeviceRows::find(std::string_view user, std::string_view name) {
    Statement& found = sql_->find.bind(user, name);
    if (!found.step()) return std::nullopt;
    const Row row{found.integer(0), true};
    found.reset();
    return row;
}

std::optional<DeviceRows::Row> DeviceRows::owner(Platform platform, std::string_view token,
                                                 std::string_view user) {
    Statement& found = sql_->owner.bind(static_cast<int>(platform), token, user);
    if (!found.step()) return std::nullopt;
    const Row row{found.integer(0), found.integer(1) != 0};
    found.reset();
    return row;
}

std::size_t DeviceRows::count(std::string_view user) {
    Statement& found = sql_->count.bind(user);
    const std::int64_t count = found.step() ? found.integer(0) : 0;
    found.reset();
    return static_cast<std::size_t>(count);
}

void DeviceRows::put(std::int64_t id, const PushDevice& device) {
    const auto blob = [&](const std::string& bytes) {
        // Other platforms have no keys: a null pointer is NULL.
        return Statement::as_blob(device.platform == Platform::web ? std::string_view{bytes}
                                                                   : std::string_view{});
    };
    const auto platform = static_cast<int>(device.platform);
    const std::string_view token = device.token;
    const auto expires = device.expires != 0 ? std::optional{device.expires} : std::nullopt;
    if (id == 0) {
        sql_->insert
            .bind(std::string_view{device.user}, std::string_view{device.name}, platform, token,
                  blob(device.p256dh), blob(device.auth), Statement::or_null(device.app),
                  Statement::or_null(device.locale), Statement::or_null(device.timezone),
                  device.registered, expires, ++last_id_)
            .run();
        id = last_id_;
    } else {
        Statement& before = sql_->platform_of.bind(id);
        if (before.step()) count_out(before.integer(0));
        before.reset();
        sql_->update
            .bind(id, platform, token, blob(device.p256dh), blob(device.auth),
                  Statement::or_null(device.app), Statement::or_null(device.locale),
                  Statement::or_null(device.timezone), device.registered, expires)
            .run();
        sql_->drop_topics.bind(id).run();
    }
    ++tally[static_cast<std::size_t>(device.platform)];
    for (const std::string& topic : device.topics)
        sql_->add_topic.bind(std::string_view{topic}, id).run();
}

// --- removal ---

/// A damaged row can be removed like any other.
void DeviceRows::count_out(std::int64_t platform) noexcept {
    if (const auto at = static_cast<std::size_t>(platform); at < tally.size()) --tally[at];
}

std::uint64_t DeviceRows::remove_found(Statement& found) {
    // All of them, before any is removed: a walk must not meet what it writes.
    std::vector<std::pair<std::int64_t, std::int64_t>> all;
    while (found.step()) all.emplace_back(found.integer(0), found.integer(1));
    for (const auto& [id, platform] : all) {
        sql_->drop_topics.bind(id).run();
        sql_->drop.bind(id).run();
        count_out(platform);
    }
    return all.size();
}

std::uint64_t DeviceRows::remove(std::int64_t id) {
    return remove_found(sql_->by_id.bind(id));
}

std::uint64_t DeviceRows::remove(std::string_view user, std::string_view name) {
    return remove_found(sql_->by_name.bind(user, name));
}

std::uint64_t DeviceRows::remove_all(std::string_view user) {
    return remove_found(sql_->by_user.bind(user));
}

std::uint64_t DeviceRows::remove_dead(Platform platform, std::string_view token,
                                      WallMillis dead_since) {
    return remove_found(sql_->dead.bind(static_cast<int>(platform), token, dead_since));
}

std::uint64_t DeviceRows::remove_expired(std::string_view user, WallMillis now) {
    return remove_found(sql_->expired_of.bind(user, now));
}

std::uint64_t DeviceRows::remove_expired(WallMillis now, std::size_t limit) {
    return remove_found(sql_->expired.bind(now, limit));
}

std::optional<WallMillis> DeviceRows::next_expiry() {
    Statement& found = sql_->next_expiry.bind();
    if (!found.step()) return std::nullopt;
    const WallMillis expires = found.integer(0);
    found.reset();
    return expires;
}

} // namespace fanfare::stores
