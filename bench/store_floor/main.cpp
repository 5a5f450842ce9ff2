// The floor under durable publishes: a bare loop of inserts, with the gateway's table, its rows,
// its batch size and its sync setting, and nothing else. Prints one JSON object.
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <sqlite3.h>
#include <stdexcept>
#include <string>

namespace {

struct Options {
    std::string file;
    std::uint64_t rows = 10'000;
    std::uint64_t batch = 64;
    std::uint64_t rooms = 64;
    std::size_t bytes = 128;
    std::string synchronous = "FULL";
};

void check(sqlite3* db, int code) {
    if (code != SQLITE_OK && code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(db));
}

void execute(sqlite3* db, const std::string& sql) {
    check(db, sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr));
}

double run(const Options& options) {
    sqlite3* db = nullptr;
    check(db, sqlite3_open(options.file.c_str(), &db));
    execute(db, "PRAGMA journal_mode=WAL");
    execute(db, "PRAGMA synchronous=" + options.synchronous);
    execute(db, "PRAGMA cache_size=-16384");
    execute(db,
            "CREATE TABLE messages (room INTEGER NOT NULL, offset INTEGER NOT NULL, time INTEGER "
            "NOT NULL, event TEXT, id TEXT, sender TEXT, data TEXT NOT NULL, PRIMARY KEY (room, "
            "offset)) STRICT, WITHOUT ROWID");
    sqlite3_stmt* insert = nullptr;
    check(db,
          sqlite3_prepare_v2(db, "INSERT INTO messages VALUES (?1, ?2, ?3, NULL, NULL, NULL, ?4)",
                             -1, &insert, nullptr));
    const std::string data = '"' + std::string(options.bytes - 2, 'x') + '"';
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t row = 0; row < options.rows; ++row) {
        if (row % options.batch == 0) execute(db, "BEGIN IMMEDIATE");
        sqlite3_bind_int64(insert, 1, static_cast<sqlite3_int64>(row % options.rooms + 1));
        sqlite3_bind_int64(insert, 2, static_cast<sqlite3_int64>(row / options.rooms + 1));
        sqlite3_bind_int64(insert, 3, 1'795'721'244'636);
        sqlite3_bind_text(insert, 4, data.data(), static_cast<int>(data.size()), nullptr);
        check(db, sqlite3_step(insert));
        sqlite3_reset(insert);
        if (row % options.batch == options.batch - 1 || row + 1 == options.rows)
            execute(db, "COMMIT");
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    sqlite3_finalize(insert);
    sqlite3_close(db);
    return took.count();
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app{"A bare loop of SQLite inserts", "fanfare-store-floor"};
    app.add_option("file", options.file, "New SQLite file")->required();
    app.add_option("--rows", options.rows)->check(CLI::PositiveNumber);
    app.add_option("--batch", options.batch, "Rows of a transaction")->check(CLI::PositiveNumber);
    app.add_option("--rooms", options.rooms)->check(CLI::PositiveNumber);
    app.add_option("--bytes", options.bytes, "Of a message")->check(CLI::Range(2, 1'000'000));
    app.add_option("--synchronous", options.synchronous)
        ->check(CLI::IsMember({"FULL", "NORMAL", "OFF"}));
    CLI11_PARSE(app, argc, argv);
    try {
        const double seconds = run(options);
        std::printf("{\"rows\": %llu, \"batch\": %llu, \"seconds\": %.6f, \"rows_per_s\": %.1f}\n",
                    static_cast<unsigned long long>(options.rows),
                    static_cast<unsigned long long>(options.batch), seconds,
                    static_cast<double>(options.rows) / seconds);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fanfare-store-floor: %s\n", error.what());
        return 1;
    }
    return 0;
}
