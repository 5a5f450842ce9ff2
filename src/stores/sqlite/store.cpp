// The store as a whole: one writer, one reader, and the contracts on them.

#include "dead_letters.hpp"
#include "devices.hpp"
#include "durable_log.hpp"
#include "inbox_log.hpp"
#include "memory_idempotency.hpp"
#include "publish_keys.hpp"
#include "push_queue.hpp"
#include "sends.hpp"
#include "writer.hpp"

#include <fanfare/net/reactor.hpp>

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace fanfare::stores {
namespace {

class SqliteStore final : public Store {
  public:
    SqliteStore(net::Reactors& reactors, Metrics& metrics, const SqliteOptions& options,
                const room::IdempotencyOptions& idempotency, room::RulesRef rules,
                std::chrono::milliseconds position_ttl)
        : writer_(options, metrics),
          reader_database_(options.path, Database::Mode::read_write, options.vfs),
          reader_(std::make_unique<net::BlockingThread>("fanfare-reader")),
          log_(writer_, *reader_, reader_database_, idempotency.window,
               std::make_shared<const Retention>(Retention{std::move(rules), position_ttl})),
          devices_(writer_, *reader_, reader_database_, options, metrics),
          inbox_(writer_, *reader_, reader_database_, devices_.rows(), options, metrics),
          push_(writer_, *reader_, reader_database_, inbox_, devices_.rows()),
          sends_(writer_, *reader_, reader_database_, inbox_, metrics),
          letters_(writer_, *reader_, reader_database_, inbox_, options, metrics),
          keys_(writer_, *reader_, reader_database_, idempotency.window),
          idempotency_(make_recorded_idempotency(reactors, idempotency, &keys_)) {
        reader_database_.execute("PRAGMA query_only=1; PRAGMA cache_size=-16384");
        writer_.start({&log_, &devices_, &inbox_, &push_, &letters_, &sends_});
    }
    ~SqliteStore() override {
        // The threads use what is destroyed after them.
        reader_.reset();
        writer_.stop();
    }

    [[nodiscard]] room::DurableLog& log() noexcept override { return log_; }
    [[nodiscard]] delivery::InboxLog& inbox() noexcept override { return inbox_; }
    [[nodiscard]] delivery::Devices& devices() noexcept override { return devices_; }
    [[nodiscard]] delivery::PushQueue& push() noexcept override { return push_; }
    [[nodiscard]] delivery::SendLog& sends() noexcept override { return sends_; }
    [[nodiscard]] delivery::DeadLetters& dead_letters() noexcept override { return letters_; }
    [[nodiscard]] room::IdempotencyLog& idempotency() noexcept override { return *idempotency_; }
    [[nodiscard]] const char* fault() const noexcept override { return writer_.fault(); }
    void set_rules(room::RulesRef rules, std::chrono::milliseconds position_ttl) override {
        log_.set_retention(
            std::make_shared<const Retention>(Retention{std::move(rules), position_ttl}));
    }

  private:
    Writer writer_;
    Database reader_database_;
    std::unique_ptr<net::BlockingThread> reader_;
    SqliteLog log_;
    SqliteDevices devices_;
    SqliteInbox inbox_;
    SqlitePushQueue push_;
    SqliteSends sends_;
    SqliteDeadLetters letters_;
    SqliteKeys keys_;
    std::unique_ptr<room::IdempotencyLog> idempotency_;
};

} // namespace

std::unique_ptr<Store> make_sqlite(net::Reactors& reactors, Metrics& metrics,
                                   const SqliteOptions& options,
                                   const room::IdempotencyOptions& idempotency,
                                   room::RulesRef rules, std::chrono::milliseconds position_ttl) {
    try {
        return std::make_unique<SqliteStore>(reactors, metrics, options, idempotency,
                                             std::move(rules), position_ttl);
    } catch (const SqliteError& error) {
        throw std::runtime_error(fmt::format(
            "cannot use the store {}: {} ({}); `fanfare store check` looks at it, a backup can be "
            "put in its place",
            options.path, fault_text(error.code()), error.what()));
    }
}

} // namespace fanfare::stores
