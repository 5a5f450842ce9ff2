#pragma once
// Keys of publishes in the store. Those of durable messages are written with their message
// (durable_log.cpp); the others here, behind their publish.

#include "database.hpp"
#include "key_records.hpp"
#include "writer.hpp"

#include <chrono>
#include <string_view>

namespace fanfare::stores {

/// One part of a call: key, part, fingerprint, epoch, offset, expires.
inline constexpr std::string_view insert_publish_key =
    "INSERT OR REPLACE INTO publish_keys (key, part, fingerprint, epoch, offset, expires) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

class SqliteKeys final : public KeyRecords {
  public:
    SqliteKeys(Writer& writer, net::BlockingThread& reader, Database& reader_database,
               std::chrono::milliseconds window);
    ~SqliteKeys() override;

    void find(const room::IdempotencyKey& key,
              std::function<void(std::optional<KeyRecord>)> done) override;
    void record(const room::IdempotencyKey& key, const room::PublishResults& results) override;

  private:
    class Find;
    class Record;

    Writer& writer_;
    net::BlockingThread& reader_;
    const std::chrono::milliseconds window_;
    Statement insert_; // the writer's thread
    Statement find_;   // the reader's thread
};

} // namespace fanfare::stores
