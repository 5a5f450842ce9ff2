#pragma once
// SQLite's C interface with owners and exceptions. Any statement may fail, and inside this folder
// all failures have one treatment (the batch is rolled back, the question refused), so they travel
// as exceptions, and become values at the thread's edge. One thread at a time per Database.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace fanfare::stores {

/// What SQLite says, with its extended result code.
class SqliteError : public std::runtime_error {
  public:
    SqliteError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
    [[nodiscard]] int code() const noexcept { return code_; }

  private:
    int code_;
};

class Database {
  public:
    /// `at_rest`: read-only, and nobody changes the file meanwhile (the caller sees to it). Then no
    /// log is looked for, and no file is made beside it.
    enum class Mode : std::uint8_t { at_rest, read_only, read_write, create };
    /// `vfs` empty: the system's. Throws SqliteError.
    Database(const std::string& path, Mode mode, const std::string& vfs = {});

    /// Before its end; when no statement of it is left.
    void close() noexcept { database_.reset(); }
    /// One or more statements without results.
    void execute(const char* sql);
    /// The first column of the first row; 0 if there is none.
    [[nodiscard]] std::int64_t number(const char* sql);
    [[nodiscard]] std::string text(const char* sql);
    [[nodiscard]] bool in_transaction() const noexcept;
    [[nodiscard]] std::int64_t last_row_id() const noexcept;
    /// Rows changed by the last statement.
    [[nodiscard]] std::int64_t changes() const noexcept;
    [[nodiscard]] sqlite3* raw() const noexcept { return database_.get(); }
    [[noreturn]] void fail(int code) const;

  private:
    struct Close {
        void operator()(sqlite3* database) const noexcept;
    };
    std::unique_ptr<sqlite3, Close> database_;
};

/// A prepared statement, used again and again.
class Statement {
  public:
    Statement(Database& database, std::string_view sql);

    /// Binds in order, from the first parameter on. Texts must live until the statement has ended.
    template <class... Values>
    Statement& bind(const Values&... values) {
        reset();
        int index = 0;
        (bind_one(++index, values), ...);
        return *this;
    }
    /// True: there is a row to read.
    bool step();
    /// Steps to the end; for statements without rows.
    void run() {
        while (step()) {
        }
    }
    [[nodiscard]] std::int64_t integer(int column) const noexcept;
    /// Valid until the next step. NULL is empty.
    [[nodiscard]] std::string_view text(int column) const noexcept;
    [[nodiscard]] std::string_view blob(int column) const noexcept;
    [[nodiscard]] bool is_null(int column) const noexcept;
    void reset() noexcept;

  private:
    void bind_one(int index, std::int64_t value);
    void bind_one(int index, std::uint64_t value) {
        bind_one(index, static_cast<std::int64_t>(value));
    }
    void bind_one(int index, int value) { bind_one(index, std::int64_t{value}); }
    void bind_one(int index, std::uint32_t value) { bind_one(index, std::int64_t{value}); }
    void bind_one(int index, std::string_view value);
    /// An empty text is NULL.
    struct Optional {
        std::string_view value;
    };
    void bind_one(int index, Optional value);
    struct Blob {
        std::string_view value;
    };
    void bind_one(int index, Blob value);
    void bind_one(int index, std::optional<std::int64_t> value);
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const noexcept;
    };
    Database& database_;
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    bool running_ = false;

  public:
    [[nodiscard]] static Optional or_null(std::string_view text) noexcept { return {text}; }
    /// Bytes that are no text.
    [[nodiscard]] static Blob as_blob(std::string_view bytes) noexcept { return {bytes}; }
};

} // namespace fanfare::stores
