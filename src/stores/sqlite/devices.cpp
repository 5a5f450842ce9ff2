#include "devices.hpp"

#include "device_values.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace fanfare::stores {

using delivery::DeviceList;
using delivery::Platform;
using delivery::PushDevice;
using delivery::Registered;
using delivery::Unregistered;

namespace {

/// Between two looks at what expires, when nothing was left over.
constexpr std::chrono::milliseconds slice_interval{200};
/// The wall clock may be set meanwhile.
constexpr std::chrono::milliseconds longest_wait{10'000};
constexpr std::chrono::milliseconds retry_interval{1'000};

/// One cell per platform.
std::array<Gauge*, platform_count> cells(Metrics& metrics) {
    std::array<Gauge*, platform_count> cells{};
    for (std::size_t i = 0; i < cells.size(); ++i)
        cells[i] =
            &metrics.gauge("push_devices", "Devices that are registered for push.",
                           {{"platform", std::string{platform_name(static_cast<Platform>(i))}}});
    return cells;
}

/// An answer if the transaction failed: that, and nothing of what `apply` thought.
template <class Answer>
Answer settled_answer(const WriteTask& task, Answer answer) {
    if (task.code == Code::ok) return answer;
    Answer refused;
    refused.code = task.code;
    refused.detail = task.detail;
    return refused;
}

} // namespace

// --- writing ---

class SqliteDevices::Put final : public WriteTask {
  public:
    Put(SqliteDevices& devices, PushDevice device, std::size_t devices_max,
        std::function<void(Registered)> tell)
        : devices_(devices), device_(std::move(device)), devices_max_(devices_max),
          tell_(std::move(tell)) {}

    [[nodiscard]] Lane lane() const noexcept override { return Lane::high; }
    [[nodiscard]] std::size_t bytes() const noexcept override {
        std::size_t bytes = device_.user.size() + device_.name.size() + device_.token.size() + 512;
        for (const std::string& topic : device_.topics) bytes += topic.size() + 16;
        return bytes;
    }
    void apply() override {
        registered_ = {};
        DeviceRows& rows = devices_.rows_;
        // Those that are over take no place, and none of them comes to life again.
        rows.remove_expired(device_.user, device_.registered);
        const std::optional<DeviceRows::Row> known = rows.find(device_.user, device_.name);
        const std::optional<DeviceRows::Row> owner =
            rows.owner(device_.platform, device_.token, device_.user);
        if (!known && !has_place(owner)) {
            registered_.code = Code::limit_reached;
            registered_.detail = "the user has as many devices as it may; remove one first";
            return;
        }
        registered_.taken = owner && (!known || owner->id != known->id);
        if (registered_.taken) rows.remove(owner->id);
        rows.put(known ? known->id : 0, device_);
        registered_.fresh = !known;
        if (device_.expires != 0) devices_.sweep_by(device_.expires);
    }
    void done() override { tell_(settled_answer(*this, registered_)); }

  private:
    /// For one more, that takes its token from `owner`.
    [[nodiscard]] bool has_place(const std::optional<DeviceRows::Row>& owner) {
        const std::size_t freed = owner && owner->same_user ? 1 : 0;
        return devices_.rows_.count(device_.user) < devices_max_ + freed;
    }

    SqliteDevices& devices_;
    const PushDevice device_;
    const std::size_t devices_max_;
    std::function<void(Registered)> tell_;
    Registered registered_;
};

class SqliteDevices::Remove final : public WriteTask {
  public:
    Remove(SqliteDevices& devices, std::string user, std::string name,
           std::function<void(Unregistered)> tell)
        : devices_(devices), user_(std::move(user)), name_(std::move(name)),
          tell_(std::move(tell)) {}

    [[nodiscard]] Lane lane() const noexcept override { return Lane::high; }
    [[nodiscard]] std::size_t bytes() const noexcept override {
        return user_.size() + name_.size() + 256;
    }
    void apply() override {
        removed_ = {};
        removed_.devices =
            name_.empty() ? devices_.rows_.remove_all(user_) : devices_.rows_.remove(user_, name_);
    }
    void done() override { tell_(settled_answer(*this, removed_)); }

  private:
    SqliteDevices& devices_;
    const std::string user_;
    const std::string name_;
    std::function<void(Unregistered)> tell_;
    Unregistered removed_;
};

class SqliteDevices::Drop final : public WriteTask {
  public:
    Drop(SqliteDevices& devices, Platform platform, std::string token, WallMillis dead_since)
        : devices_(devices), platform_(platform), token_(std::move(token)),
          dead_since_(dead_since) {}

    [[nodiscard]] Lane lane() const noexcept override { return Lane::high; }
    [[nodiscard]] std::size_t bytes() const noexcept override { return token_.size() + 256; }
    void apply() override { devices_.rows_.remove_dead(platform_, token_, dead_since_); }
    /// One that could not be dropped is told dead again by the next attempt to use it.
    void done() override {}

  private:
    SqliteDevices& devices_;
    const Platform platform_;
    const std::string token_;
    const WallMillis dead_since_;
};

bool SqliteDevices::put(PushDevice device, std::size_t devices_max,
                        std::function<void(Registered)> done) {
    return writer_.post(
        std::make_unique<Put>(*this, std::move(device), devices_max, std::move(done)));
}

bool SqliteDevices::remove(const std::string& user, const std::string& name,
                           std::function<void(Unregistered)> done) {
    return writer_.post(std::make_unique<Remove>(*this, user, name, std::move(done)));
}

void SqliteDevices::drop(Platform platform, const std::string& token, WallMillis dead_since) {
    writer_.post_always(std::make_unique<Drop>(*this, platform, token, dead_since));
}

// --- reading ---

struct SqliteDevices::ReadStatements {
    explicit ReadStatements(Database& db)
        : database(db),
          devices(db, "SELECT id, name, platform, token, p256dh, auth, app, locale, timezone, "
                      "registered, expires FROM devices WHERE user = ?1 AND "
                      "(expires IS NULL OR expires > ?2) ORDER BY name"),
          topics(db, "SELECT topic FROM device_topics WHERE device = ?1 ORDER BY topic") {}
    Database& database;
    Statement devices;
    Statement topics;
};

/// All of it is of one moment.
class SqliteDevices::List final : public net::BlockingTask {
  public:
    List(SqliteDevices& devices, std::string user, std::function<void(DeviceList)> tell)
        : devices_(devices), user_(std::move(user)), tell_(std::move(tell)) {}

    void run() override {
        ReadStatements& read = *devices_.read_;
        try {
            read.database.execute("BEGIN");
            look(read);
        } catch (const SqliteError& error) {
            fail(error);
        }
        try {
            read.devices.reset();
            read.topics.reset();
            if (read.database.in_transaction()) read.database.execute("COMMIT");
        } catch (const SqliteError& error) {
            fail(error);
        }
    }
    void done() override { tell_(std::move(list_)); }

  private:
    void look(ReadStatements& read) {
        Statement& rows = read.devices.bind(std::string_view{user_}, system_clock().wall());
        while (rows.step()) {
            PushDevice& device = list_.devices.emplace_back();
            device.user = user_;
            device.name = rows.text(1);
            device.platform = platform_of(rows.integer(2));
            device.token = rows.text(3);
            device.p256dh = rows.blob(4);
            device.auth = rows.blob(5);
            device.app = rows.text(6);
            device.locale = rows.text(7);
            device.timezone = rows.text(8);
            device.registered = rows.integer(9);
            device.expires = rows.integer(10); // NULL is 0
            Statement& topics = read.topics.bind(rows.integer(0));
            while (topics.step()) device.topics.emplace_back(topics.text(0));
        }
    }
    void fail(const SqliteError& error) {
        log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
        list_ = {};
        list_.code = Code::unavailable;
        list_.detail = fault_text(error.code());
    }

    SqliteDevices& devices_;
    const std::string user_;
    std::function<void(DeviceList)> tell_;
    DeviceList list_;
};

void SqliteDevices::list(const std::string& user, std::function<void(DeviceList)> done) {
    reader_.post(std::make_unique<List>(*this, user, std::move(done)));
}

// --- time ---

void SqliteDevices::sweep_by(WallMillis time) {
    const std::int64_t wait = std::max<std::int64_t>(time - system_clock().wall(), 0);
    due_ = std::min(due_, system_clock().mono() + wait);
}

void SqliteDevices::slice(std::size_t rows) {
    const MonoMillis now = system_clock().mono();
    const WallMillis wall = system_clock().wall();
    std::int64_t wait = 0;
    if (rows_.remove_expired(wall, rows) < rows) {
        wait = longest_wait.count();
        if (const std::optional<WallMillis> next = rows_.next_expiry())
            wait = std::clamp<std::int64_t>(*next - wall, slice_interval.count(), wait);
    }
    due_ = now + wait;
}

void SqliteDevices::undo() noexcept {
    due_ = system_clock().mono() + retry_interval.count();
}

void SqliteDevices::settled(bool committed) noexcept {
    const auto tally = std::exchange(rows_.tally, {});
    for (std::size_t i = 0; committed && i < tally.size(); ++i) gauges_[i]->add(tally[i]);
}

SqliteDevices::SqliteDevices(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                             const SqliteOptions& options, Metrics& metrics)
    : writer_(writer), reader_(reader), read_(std::make_unique<ReadStatements>(reader_database)),
      rows_(writer.database()), gauges_(cells(metrics)),
      counted_(options.path, options.vfs, "devices", "platform", [&] {
          const Gauges own = cells(metrics);
          return std::vector<Gauge*>{own.begin(), own.end()};
      }()) {}

SqliteDevices::~SqliteDevices() = default;

} // namespace fanfare::stores
