#pragma once
// A gateway's rooms with a real store and without sockets, for tests that let the disk fail. Its
// reactors have threads (`start`), or the test turns them (`wait`).

#include "rooms_node.hpp"

#include <fanfare/stores/stores.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <sqlite3.h>
#include <stdexcept>
#include <stdlib.h> // mkdtemp
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fanfare::test {

/// A folder that is gone with the test.
class TestFolder {
  public:
    TestFolder() {
        std::string name = std::filesystem::temp_directory_path() / "fanfare-test-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for the test");
        path_ = name;
    }
    ~TestFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;
    [[nodiscard]] std::string file(const std::string& name = "fanfare.db") const {
        return path_ / name;
    }

  private:
    std::filesystem::path path_;
};

class DurableNode {
  public:
    using Synchronous = stores::SqliteOptions::Synchronous;

    /// Rooms `d:*` are durable, all others live in memory.
    explicit DurableNode(const std::string& path, const std::string& vfs = {}, unsigned count = 1,
                         Synchronous synchronous = Synchronous::full)
        : encoded_(count), reactors_(count, system_clock(), metrics) {
        room::Rule durable = rule_with_history(10'000'000, std::chrono::hours{1'000});
        durable.match = "d:*";
        durable.history.durable = true;
        room::Rule other = rule_with_history(1'000, std::chrono::hours{1});
        other.match = "*";
        const room::RulesRef shared = rules({durable, other});
        stores::SqliteOptions options;
        options.path = path;
        options.vfs = vfs;
        options.synchronous = synchronous;
        store_ =
            stores::make_sqlite(reactors_, metrics, options, {}, shared, std::chrono::hours{1'000});
        std::vector<room::Rooms*> all;
        for (unsigned i = 0; i < count; ++i) {
            room::Encoders encoders;
            for (std::size_t form = 0; form < room::form_count; ++form)
                encoders[form] =
                    std::make_unique<TextEncoder>(static_cast<room::Form>(form), encoded_[i]);
            rooms_.push_back(std::make_unique<room::Rooms>(reactors_[i], std::move(encoders),
                                                           shared, room::Options{}, count));
            all.push_back(rooms_.back().get());
            brokers_.push_back(std::make_unique<DirectBroker>(*rooms_.back()));
        }
        for (unsigned i = 0; i < count; ++i) rooms_[i]->connect(all, *brokers_[i], &store_->log());
    }
    ~DurableNode() { stop(); }
    DurableNode(const DurableNode&) = delete;
    DurableNode& operator=(const DurableNode&) = delete;

    void start() { reactors_.start(); }
    void stop() { reactors_.stop(); }
    [[nodiscard]] unsigned size() const { return static_cast<unsigned>(rooms_.size()); }
    [[nodiscard]] net::Reactor& reactor(std::size_t i) { return reactors_[i]; }
    [[nodiscard]] room::Rooms& rooms(std::size_t i) { return *rooms_[i]; }
    [[nodiscard]] stores::Store& store() { return *store_; }

    // --- without threads: everything on reactor 0 ---

    /// Turns the reactors until it holds. False: not in time.
    [[nodiscard]] bool wait(const std::function<bool()>& holds,
                            std::chrono::seconds bound = std::chrono::seconds{30}) {
        const auto end = std::chrono::steady_clock::now() + bound;
        while (!holds()) {
            for (unsigned i = 0; i < size(); ++i) reactors_[i].run_turn();
            if (std::chrono::steady_clock::now() > end) return false;
            std::this_thread::sleep_for(std::chrono::microseconds{50});
        }
        return true;
    }
    /// All at once; the answers are in the order of the messages.
    std::vector<room::PublishResult>
    publish(const std::vector<std::pair<std::string, std::string>>& messages) {
        struct Client final : room::PublishClient {
            std::vector<room::PublishResult> results;
            std::size_t answered = 0;
            void on_published(net::Handle who, std::uint64_t /*request*/,
                              const room::PublishResult& result) override {
                results.at(who) = result;
                ++answered;
            }
        } client;
        client.results.resize(messages.size());
        reactors_[0].post(std::function<void()>{[&] {
            for (std::size_t i = 0; i < messages.size(); ++i)
                rooms(0).publish(draft(messages[i].first, messages[i].second),
                                 {&client, &reactors_[0], i, 0, nullptr});
        }});
        if (!wait([&] { return client.answered == messages.size(); }))
            throw std::runtime_error("a publish was not answered");
        return client.results;
    }
    room::PublishResult publish(const std::string& room, const std::string& data) {
        return publish({{room, data}}).front();
    }
    room::HistoryResult history(const std::string& room, const room::HistoryQuery& query = {}) {
        return ask<room::HistoryResult>(
            [&](auto done) { rooms(0).history(room, query, std::move(done)); });
    }
    room::RoomInfo info(const std::string& room) {
        return ask<room::RoomInfo>([&](auto done) { rooms(0).info(room, std::move(done)); });
    }

    Metrics metrics;

  private:
    template <class T, class Ask>
    T ask(Ask question) {
        std::optional<T> answer;
        reactors_[0].post(
            std::function<void()>{[&] { question([&](const T& got) { answer = got; }); }});
        if (!wait([&] { return answer.has_value(); }))
            throw std::runtime_error("a question was not answered");
        return *answer;
    }

    std::vector<std::array<int, room::form_count>> encoded_; // of each reactor
    net::Reactors reactors_;
    std::unique_ptr<stores::Store> store_;
    std::vector<std::unique_ptr<room::Rooms>> rooms_;
    std::vector<std::unique_ptr<room::Broker>> brokers_;
};

/// What a store's file holds, read by SQLite itself, beside whatever the gateway thinks.
class StoredRows {
  public:
    explicit StoredRows(const std::string& path) {
        if (::sqlite3_open_v2(path.c_str(), &database_, SQLITE_OPEN_READWRITE, nullptr) !=
            SQLITE_OK)
            throw std::runtime_error(::sqlite3_errmsg(database_));
        // The write-ahead log stays as it is found.
        ::sqlite3_db_config(database_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    }
    ~StoredRows() { ::sqlite3_close(database_); }
    StoredRows(const StoredRows&) = delete;
    StoredRows& operator=(const StoredRows&) = delete;

    using Row = std::vector<std::string>;
    [[nodiscard]] std::vector<Row> rows(const std::string& sql) {
        sqlite3_stmt* statement = nullptr;
        if (::sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
            throw std::runtime_error(::sqlite3_errmsg(database_));
        std::vector<Row> all;
        int code = SQLITE_OK;
        while ((code = ::sqlite3_step(statement)) == SQLITE_ROW) {
            Row row;
            for (int i = 0; i < ::sqlite3_column_count(statement); ++i) {
                const auto* text = ::sqlite3_column_blob(statement, i);
                row.emplace_back(static_cast<const char*>(text == nullptr ? "" : text),
                                 static_cast<std::size_t>(::sqlite3_column_bytes(statement, i)));
            }
            all.push_back(std::move(row));
        }
        ::sqlite3_finalize(statement);
        if (code != SQLITE_DONE) throw std::runtime_error(::sqlite3_errmsg(database_));
        return all;
    }
    [[nodiscard]] std::string check() { return rows("PRAGMA integrity_check").front().front(); }
    /// offset and data of a room's messages, in order.
    [[nodiscard]] std::vector<Row> messages(const std::string& room) {
        return rows("SELECT m.offset, m.data FROM messages m JOIN rooms r ON r.id = m.room "
                    "WHERE r.name = '" +
                    room + "' ORDER BY m.offset");
    }

  private:
    sqlite3* database_ = nullptr;
};

} // namespace fanfare::test
