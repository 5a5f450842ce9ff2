#include "publish_keys.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::stores {

SqliteKeys::SqliteKeys(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                       std::chrono::milliseconds window)
    : writer_(writer), reader_(reader), window_(window),
      insert_(writer.database(), insert_publish_key),
      find_(reader_database, "SELECT part, fingerprint, epoch, offset FROM publish_keys "
                             "WHERE key = ?1 AND expires > ?2") {}

SqliteKeys::~SqliteKeys() = default;

class SqliteKeys::Find final : public net::BlockingTask {
  public:
    Find(SqliteKeys& keys, const room::IdempotencyKey& key,
         std::function<void(std::optional<KeyRecord>)> tell)
        : keys_(keys), key_(key), tell_(std::move(tell)) {}

    void run() override {
        try {
            Statement& find = keys_.find_;
            find.bind(std::string_view{key_.text}, system_clock().wall());
            while (find.step()) {
                if (!found_) found_.emplace();
                found_->fingerprint = static_cast<std::uint64_t>(find.integer(1));
                const auto part = static_cast<std::size_t>(find.integer(0));
                found_->results.resize(
                    std::max<std::size_t>({found_->results.size(), part + 1, key_.parts}));
                room::PublishResult& result = found_->results[part];
                result.position = {Epoch::parse(find.text(2)),
                                   static_cast<std::uint64_t>(find.integer(3))};
                result.ephemeral = result.position.offset == 0;
                result.durable = true;
            }
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
            found_.reset();
        }
    }
    void done() override { tell_(std::move(found_)); }

  private:
    SqliteKeys& keys_;
    const room::IdempotencyKey key_;
    std::function<void(std::optional<KeyRecord>)> tell_;
    std::optional<KeyRecord> found_;
};

class SqliteKeys::Record final : public WriteTask {
  public:
    Record(SqliteKeys& keys, room::IdempotencyKey key, std::uint32_t part,
           const room::PublishResult& result)
        : keys_(keys), key_(std::move(key)), part_(part), position_(result.position) {}
    [[nodiscard]] std::size_t bytes() const noexcept override { return key_.text.size() + 256; }
    void apply() override {
        keys_.insert_
            .bind(std::string_view{key_.text}, part_, key_.fingerprint, position_.epoch.text(),
                  position_.offset, system_clock().wall() + keys_.window_.count())
            .run();
    }
    void done() override {}

  private:
    SqliteKeys& keys_;
    const room::IdempotencyKey key_;
    const std::uint32_t part_;
    const Position position_;
};

void SqliteKeys::find(const room::IdempotencyKey& key,
                      std::function<void(std::optional<KeyRecord>)> done) {
    reader_.post(std::make_unique<Find>(*this, key, std::move(done)));
}

void SqliteKeys::record(const room::IdempotencyKey& key, const room::PublishResults& results) {
    for (std::uint32_t part = 0; part < results.size(); ++part) {
        const room::PublishResult& result = results[part];
        if (!is_done(result) || result.durable) continue;
        // A message in memory goes with the process: its key may go too.
        static_cast<void>(
            writer_.post_if_quiet(std::make_unique<Record>(*this, key, part, result)));
    }
}

} // namespace fanfare::stores
