#pragma once
// delivery::Devices on SQLite: changes on the writer's thread, questions on the reader's. They are
// in the lane of what users do with their inbox, so a registration, and an erasure behind it, keep
// their order.

#include "database.hpp"
#include "device_rows.hpp"
#include "row_counter.hpp"
#include "writer.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/delivery/devices.hpp>
#include <fanfare/net/blocking_thread.hpp>

#include <array>
#include <functional>
#include <memory>
#include <string>

namespace fanfare::stores {

class SqliteDevices final : public delivery::Devices, public Chores {
  public:
    /// `reader`: runs on `reader_database`. Before the writer starts.
    SqliteDevices(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                  const SqliteOptions& options, Metrics& metrics);
    ~SqliteDevices() override;

    [[nodiscard]] bool put(delivery::PushDevice device, std::size_t devices_max,
                           std::function<void(delivery::Registered)> done) override;
    [[nodiscard]] bool remove(const std::string& user, const std::string& name,
                              std::function<void(delivery::Unregistered)> done) override;
    void drop(delivery::Platform platform, const std::string& token,
              WallMillis dead_since) override;
    void list(const std::string& user, std::function<void(delivery::DeviceList)> done) override;

    /// For what is done to a user as a whole; the writer's thread only.
    [[nodiscard]] DeviceRows& rows() noexcept { return rows_; }

    // Chores: what expires.
    void slice(std::size_t rows) override;
    void undo() noexcept override;
    [[nodiscard]] MonoMillis due() const noexcept override { return due_; }
    void settled(bool committed) noexcept override;

  private:
    class Put;
    class Remove;
    class Drop;
    class List;
    struct ReadStatements;
    using Gauges = std::array<Gauge*, platform_count>;

    /// By then, the expired ones are looked for again.
    void sweep_by(WallMillis time);

    Writer& writer_;
    net::BlockingThread& reader_;
    std::unique_ptr<ReadStatements> read_; // the reader's thread
    // the writer's thread only
    DeviceRows rows_;
    MonoMillis due_ = 0;
    Gauges gauges_;      // instruments, written by the writer's thread
    RowCounter counted_; // what was there before
};

} // namespace fanfare::stores
