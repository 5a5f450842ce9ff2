#include "dead_letter_rows.hpp"

#include "device_values.hpp"
#include "send_rows.hpp"

namespace fanfare::stores {

struct DeadLetterRows::Statements {
    explicit Statements(Database& db)
        : find(db, "SELECT inbox, offset, device, provider, status, reason, attempts, content, "
                   "ttl FROM dead_letters WHERE id = ?1"),
          remove(db, "DELETE FROM dead_letters WHERE id = ?1"),
          set(db, "UPDATE dead_letters SET content = ?2, ttl = ?3 WHERE id = ?1"),
          data(db, "SELECT " + data_of("notifications") +
                       " FROM notifications WHERE inbox = ?1 AND offset = ?2"),
          device(db, "SELECT id, platform, app FROM devices WHERE user = ?1 AND name = ?2 AND "
                     "(expires IS NULL OR expires > ?3)") {}
    Statement find;
    Statement remove;
    Statement set;
    Statement data;
    Statement device;
};

DeadLetterRows::DeadLetterRows(Database& database, PushRows& push)
    : push_(push), sql_(new Statements{database}) {}

void DeadLetterRows::Delete::operator()(Statements* statements) const noexcept {
    delete statements;
}

std::optional<DeadLetterRow> DeadLetterRows::find(std::int64_t id) {
    Statement& row = sql_->find.bind(id);
    if (!row.step()) return std::nullopt;
    DeadLetterRow letter;
    letter.id = id;
    letter.inbox = row.integer(0);
    letter.offset = static_cast<std::uint64_t>(row.integer(1));
    letter.device = row.text(2);
    letter.provider = row.text(3);
    letter.status = static_cast<int>(row.integer(4));
    letter.reason = row.text(5);
    letter.attempts = static_cast<std::uint32_t>(row.integer(6));
    letter.content = row.text(7);
    letter.ttl = row.integer(8);
    row.reset();
    return letter;
}

void DeadLetterRows::remove(const DeadLetterRow& letter) {
    sql_->remove.bind(letter.id).run();
    --push_.letters;
}

void DeadLetterRows::set(const DeadLetterRow& letter, std::string_view content, std::int64_t ttl) {
    sql_->set
        .bind(letter.id, Statement::or_null(content), ttl != 0 ? std::optional{ttl} : std::nullopt)
        .run();
}

std::optional<std::string> DeadLetterRows::content_of(const DeadLetterRow& letter) {
    if (!letter.content.empty()) return letter.content;
    Statement& row = sql_->data.bind(letter.inbox, letter.offset);
    if (!row.step()) return std::nullopt;
    std::string data{row.text(0)};
    row.reset();
    return data;
}

std::optional<DeadLetterRows::Device>
DeadLetterRows::device(std::string_view user, std::string_view name, WallMillis now) {
    Statement& row = sql_->device.bind(user, name, now);
    if (!row.step()) return std::nullopt;
    Device found{row.integer(0), platform_of(row.integer(1)), std::string{row.text(2)}};
    row.reset();
    return found;
}

} // namespace fanfare::stores
