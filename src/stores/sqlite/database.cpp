#include "database.hpp"

#include <sqlite3.h>

namespace fanfare::stores {

namespace {

/// A path as an URI; SQLite takes this setting in no other way.
std::string immutable_uri(const std::string& path) {
    std::string uri = "file:";
    for (const char c : path) {
        if (c == '%' || c == '?' || c == '#')
            uri += c == '%' ? "%25" : c == '?' ? "%3f" : "%23";
        else
            uri += c;
    }
    return uri + "?immutable=1";
}

} // namespace

void Database::Close::operator()(sqlite3* database) const noexcept {
    ::sqlite3_close_v2(database);
}

Database::Database(const std::string& path, Mode mode, const std::string& vfs) {
    int flags = SQLITE_OPEN_NOMUTEX;
    const bool reads = mode == Mode::at_rest || mode == Mode::read_only;
    flags |= reads ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (mode == Mode::create) flags |= SQLITE_OPEN_CREATE;
    if (mode == Mode::at_rest) flags |= SQLITE_OPEN_URI;
    const std::string name = mode == Mode::at_rest ? immutable_uri(path) : path;
    sqlite3* opened = nullptr;
    const int code =
        ::sqlite3_open_v2(name.c_str(), &opened, flags, vfs.empty() ? nullptr : vfs.c_str());
    database_.reset(opened);
    if (code != SQLITE_OK) fail(code);
    ::sqlite3_extended_result_codes(opened, 1);
    ::sqlite3_busy_timeout(opened, 10'000);
}

void Database::fail(int code) const {
    const char* const text = database_ ? ::sqlite3_errmsg(database_.get()) : ::sqlite3_errstr(code);
    throw SqliteError{code, text};
}

void Database::execute(const char* sql) {
    const int code = ::sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail(code);
}

std::int64_t Database::number(const char* sql) {
    Statement statement{*this, sql};
    return statement.step() ? statement.integer(0) : 0;
}

std::string Database::text(const char* sql) {
    Statement statement{*this, sql};
    return statement.step() ? std::string{statement.text(0)} : std::string{};
}

bool Database::in_transaction() const noexcept {
    return ::sqlite3_get_autocommit(database_.get()) == 0;
}

std::int64_t Database::last_row_id() const noexcept {
    return ::sqlite3_last_insert_rowid(database_.get());
}

std::int64_t Database::changes() const noexcept {
    return ::sqlite3_changes64(database_.get());
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
    ::sqlite3_finalize(statement);
}

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
    sqlite3_stmt* prepared = nullptr;
    const int code = ::sqlite3_prepare_v3(database.raw(), sql.data(), static_cast<int>(sql.size()),
                                          SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
    if (code != SQLITE_OK) database.fail(code);
    statement_.reset(prepared);
}

bool Statement::step() {
    running_ = true;
    const int code = ::sqlite3_step(statement_.get());
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) {
        // The message belongs to the failed step: it is read before the reset.
        try {
            database_.fail(code);
        } catch (const SqliteError&) {
            reset();
            throw;
        }
    }
    reset();
    return false;
}

void Statement::reset() noexcept {
    if (!running_) return;
    running_ = false;
    ::sqlite3_reset(statement_.get());
}

std::int64_t Statement::integer(int column) const noexcept {
    return ::sqlite3_column_int64(statement_.get(), column);
}

std::string_view Statement::text(int column) const noexcept {
    const auto* const text = ::sqlite3_column_text(statement_.get(), column);
    const int size = ::sqlite3_column_bytes(statement_.get(), column);
    if (text == nullptr) return {};
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
}

std::string_view Statement::blob(int column) const noexcept {
    const auto* const bytes =
        static_cast<const char*>(::sqlite3_column_blob(statement_.get(), column));
    const int size = ::sqlite3_column_bytes(statement_.get(), column);
    if (bytes == nullptr) return {};
    return {bytes, static_cast<std::size_t>(size)};
}

bool Statement::is_null(int column) const noexcept {
    return ::sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void Statement::bind_one(int index, std::int64_t value) {
    const int code = ::sqlite3_bind_int64(statement_.get(), index, value);
    if (code != SQLITE_OK) database_.fail(code);
}

void Statement::bind_one(int index, std::string_view value) {
    // Whoever binds keeps the text alive until the statement has ended: no copy. A null pointer
    // would be NULL.
    const char* const data = value.data() == nullptr ? "" : value.data();
    const int code =
        ::sqlite3_bind_text64(statement_.get(), index, data, value.size(), nullptr, SQLITE_UTF8);
    if (code != SQLITE_OK) database_.fail(code);
}

void Statement::bind_one(int index, Optional value) {
    if (!value.value.empty()) return bind_one(index, value.value);
    const int code = ::sqlite3_bind_null(statement_.get(), index);
    if (code != SQLITE_OK) database_.fail(code);
}

void Statement::bind_one(int index, Blob value) {
    const int code = ::sqlite3_bind_blob64(statement_.get(), index, value.value.data(),
                                           value.value.size(), nullptr);
    if (code != SQLITE_OK) database_.fail(code);
}

void Statement::bind_one(int index, std::optional<std::int64_t> value) {
    if (value) return bind_one(index, *value);
    const int code = ::sqlite3_bind_null(statement_.get(), index);
    if (code != SQLITE_OK) database_.fail(code);
}

} // namespace fanfare::stores
