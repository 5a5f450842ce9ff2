#pragma once
// The steps of which a change of dead letters consists: in a transaction, on the writer's thread.
// Letters are made, and go with their notifications, in push_rows.

#include "database.hpp"
#include "push_rows.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/dead_letters.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::stores {

struct DeadLetterRow {
    std::int64_t id = 0;
    std::int64_t inbox = 0;
    std::uint64_t offset = 0;
    std::string device; // its name
    std::string provider;
    int status = 0;
    std::string reason;
    std::uint32_t attempts = 0;
    std::string content;  // empty: what its notification says
    std::int64_t ttl = 0; // seconds; 0: as long as its notification lives
};

class DeadLetterRows {
  public:
    /// `push` counts them.
    DeadLetterRows(Database& database, PushRows& push);

    [[nodiscard]] std::optional<DeadLetterRow> find(std::int64_t id);
    void remove(const DeadLetterRow& letter);
    void set(const DeadLetterRow& letter, std::string_view content, std::int64_t ttl);
    /// Its own, or what its notification says; nothing if that is gone.
    [[nodiscard]] std::optional<std::string> content_of(const DeadLetterRow& letter);

    struct Device {
        std::int64_t id = 0;
        delivery::Platform platform = delivery::Platform::ios;
        std::string app;
    };
    /// The one that has the name now.
    [[nodiscard]] std::optional<Device> device(std::string_view user, std::string_view name,
                                               WallMillis now);

  private:
    struct Statements;
    struct Delete {
        void operator()(Statements* statements) const noexcept;
    };
    PushRows& push_;
    std::unique_ptr<Statements, Delete> sql_;
};

} // namespace fanfare::stores
