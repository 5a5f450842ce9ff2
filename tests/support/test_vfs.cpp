#include "test_vfs.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <set>
#include <sqlite3.h>
#include <stdexcept>
#include <string_view>
#include <unistd.h>

namespace fanfare::test {
namespace {

constexpr std::size_t sector = 512;

} // namespace

/// One file, as its users see it, and what of it is not on the disk.
struct TestVfs::Contents {
    explicit Contents(const std::string& path)
        : fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)) { // beside SQLite's own: never closed early
        if (fd < 0) throw std::runtime_error("cannot open " + path);
        std::array<std::byte, 65536> part{};
        for (ssize_t n = 0; (n = ::read(fd, part.data(), part.size())) > 0;)
            bytes.insert(bytes.end(), part.begin(), part.begin() + n);
        size_on_disk = bytes.size();
    }
    Contents(const Contents&) = delete;
    Contents& operator=(const Contents&) = delete;

    void write(const void* data, std::size_t count, std::size_t at) {
        if (count == 0) return;
        if (bytes.size() < at + count) bytes.resize(at + count);
        std::memcpy(bytes.data() + at, data, count);
        for (std::size_t i = at / sector; i <= (at + count - 1) / sector; ++i) dirty.insert(i);
    }
    void truncate(std::size_t size) {
        bytes.resize(size);
        dirty.erase(dirty.lower_bound((size + sector - 1) / sector), dirty.end());
    }
    void put(std::size_t first, std::size_t last) const { // sectors
        const std::size_t begin = first * sector;
        const std::size_t end = std::min((last + 1) * sector, bytes.size());
        if (begin >= end) return;
        if (::pwrite(fd, bytes.data() + begin, end - begin, static_cast<off_t>(begin)) !=
            static_cast<ssize_t>(end - begin))
            throw std::runtime_error("the test's own disk fails");
    }
    void sync() {
        for (auto at = dirty.begin(); at != dirty.end();) {
            const std::size_t first = *at;
            std::size_t last = first;
            while (++at != dirty.end() && *at == last + 1) ++last;
            put(first, last);
        }
        dirty.clear();
        if (size_on_disk != bytes.size() && ::ftruncate(fd, static_cast<off_t>(bytes.size())) != 0)
            throw std::runtime_error("the test's own disk fails");
        size_on_disk = bytes.size();
    }
    void tear(std::mt19937_64& random) {
        // Some of it, most of it, nearly nothing: each cut is another.
        std::bernoulli_distribution survives{std::uniform_real_distribution<double>{}(random)};
        for (const std::size_t i : dirty)
            if (survives(random)) put(i, i);
    }

    std::vector<std::byte> bytes;
    std::set<std::size_t> dirty; // sectors that are not on the disk
    std::size_t size_on_disk = 0;
    // Not closed while SQLite has the file: that would drop its locks.
    const int fd;
    int users = 0;
};

/// What SQLite is given: our head, and the system's file behind it.
struct TestVfs::File {
    sqlite3_file head;
    TestVfs* vfs;
    std::shared_ptr<Contents>* contents;
    [[nodiscard]] sqlite3_file* base() noexcept {
        return reinterpret_cast<sqlite3_file*>(this + 1); // NOLINT: SQLite gives the place for both
    }
};

struct TestVfsMethods {
    using File = TestVfs::File;
    using Contents = TestVfs::Contents;
    using Guard = std::lock_guard<std::mutex>;

    static File& self(sqlite3_file* file) { return *reinterpret_cast<File*>(file); } // NOLINT
    static TestVfs& self(sqlite3_vfs* vfs) { return *static_cast<TestVfs*>(vfs->pAppData); }

    static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags,
                    int* out_flags) {
        TestVfs& me = self(vfs);
        // Passing files without a name have nothing to lose.
        if (name == nullptr) return me.base_->xOpen(me.base_, name, file, flags, out_flags);
        file->pMethods = nullptr;
        if (me.cut_) return SQLITE_IOERR;
        auto* const made = new (file) File{{nullptr}, &me, nullptr};
        const int code = me.base_->xOpen(me.base_, name, made->base(), flags, out_flags);
        if (code != SQLITE_OK) return code;
        const Guard guard{me.mutex_};
        std::shared_ptr<Contents>& contents = me.contents_[name];
        if (!contents) contents = std::make_shared<Contents>(name);
        ++contents->users;
        made->contents = new std::shared_ptr<Contents>{contents};
        made->head.pMethods = &methods;
        return SQLITE_OK;
    }
    static int remove(sqlite3_vfs* vfs, const char* name, int sync_directory) {
        TestVfs& me = self(vfs);
        const Guard guard{me.mutex_};
        if (const int code = me.fault(TestVfs::write)) return code;
        me.contents_.erase(name);
        return me.base_->xDelete(me.base_, name, sync_directory);
    }
    static int access(sqlite3_vfs* vfs, const char* name, int flags, int* result) {
        TestVfs& me = self(vfs);
        const Guard guard{me.mutex_};
        const auto at = me.contents_.find(name);
        if (flags == SQLITE_ACCESS_EXISTS && at != me.contents_.end()) {
            // As the system's: an empty file does not count.
            *result = at->second->bytes.empty() ? 0 : 1;
            return SQLITE_OK;
        }
        return me.base_->xAccess(me.base_, name, flags, result);
    }

    static int close(sqlite3_file* file) {
        File& me = self(file);
        const int code = me.base()->pMethods->xClose(me.base());
        const Guard guard{me.vfs->mutex_};
        Contents& contents = **me.contents;
        // SQLite's last descriptor is closed, or waits for a lock that it still has: ours may go
        // with it. Closing it while SQLite has the file would drop the locks of this process.
        if (--contents.users == 0) {
            ::close(contents.fd);
            std::erase_if(me.vfs->contents_,
                          [&](const auto& entry) { return entry.second.get() == &contents; });
        }
        delete me.contents;
        return code;
    }
    static int read(sqlite3_file* file, void* into, int count, sqlite3_int64 at) {
        File& me = self(file);
        const Guard guard{me.vfs->mutex_};
        if (const int code = me.vfs->fault(TestVfs::read)) return code;
        const std::vector<std::byte>& bytes = (*me.contents)->bytes;
        const auto begin = std::min(static_cast<std::size_t>(at), bytes.size());
        const auto wanted = static_cast<std::size_t>(count);
        const std::size_t there = std::min(wanted, bytes.size() - begin);
        if (there != 0) std::memcpy(into, bytes.data() + begin, there);
        if (there == wanted) return SQLITE_OK;
        std::memset(static_cast<char*>(into) + there, 0, wanted - there);
        return SQLITE_IOERR_SHORT_READ;
    }
    static int write(sqlite3_file* file, const void* data, int count, sqlite3_int64 at) {
        File& me = self(file);
        const Guard guard{me.vfs->mutex_};
        const auto wanted = static_cast<std::size_t>(count);
        if (const int code = me.vfs->fault(TestVfs::write)) {
            (*me.contents)->write(data, wanted / 2, static_cast<std::size_t>(at));
            return code;
        }
        (*me.contents)->write(data, wanted, static_cast<std::size_t>(at));
        return SQLITE_OK;
    }
    static int truncate(sqlite3_file* file, sqlite3_int64 size) {
        File& me = self(file);
        const Guard guard{me.vfs->mutex_};
        if (const int code = me.vfs->fault(TestVfs::write)) return code;
        (*me.contents)->truncate(static_cast<std::size_t>(size));
        return SQLITE_OK;
    }
    static int sync(sqlite3_file* file, int /*flags*/) {
        File& me = self(file);
        const Guard guard{me.vfs->mutex_};
        if (const int code = me.vfs->fault(TestVfs::sync)) return code;
        (*me.contents)->sync();
        return SQLITE_OK;
    }
    static int size(sqlite3_file* file, sqlite3_int64* result) {
        File& me = self(file);
        const Guard guard{me.vfs->mutex_};
        *result = static_cast<sqlite3_int64>((*me.contents)->bytes.size());
        return SQLITE_OK;
    }
    static int lock(sqlite3_file* file, int kind) {
        return self(file).base()->pMethods->xLock(self(file).base(), kind);
    }
    static int unlock(sqlite3_file* file, int kind) {
        return self(file).base()->pMethods->xUnlock(self(file).base(), kind);
    }
    static int reserved(sqlite3_file* file, int* result) {
        return self(file).base()->pMethods->xCheckReservedLock(self(file).base(), result);
    }
    static int control(sqlite3_file* file, int operation, void* argument) {
        // A size told ahead would grow the file on the disk.
        if (operation == SQLITE_FCNTL_SIZE_HINT || operation == SQLITE_FCNTL_CHUNK_SIZE)
            return SQLITE_OK;
        return self(file).base()->pMethods->xFileControl(self(file).base(), operation, argument);
    }
    static int sector_size(sqlite3_file* file) {
        return self(file).base()->pMethods->xSectorSize(self(file).base());
    }
    static int characteristics(sqlite3_file* file) {
        return self(file).base()->pMethods->xDeviceCharacteristics(self(file).base());
    }
    static int shm_map(sqlite3_file* file, int region, int bytes, int extend,
                       void volatile** result) {
        return self(file).base()->pMethods->xShmMap(self(file).base(), region, bytes, extend,
                                                    result);
    }
    static int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
        File& me = self(file);
        if ((flags & SQLITE_SHM_LOCK) != 0) {
            const Guard guard{me.vfs->mutex_};
            if (const int code = me.vfs->fault(TestVfs::lock)) return code;
        }
        return me.base()->pMethods->xShmLock(me.base(), offset, count, flags);
    }
    static void shm_barrier(sqlite3_file* file) {
        self(file).base()->pMethods->xShmBarrier(self(file).base());
    }
    static int shm_unmap(sqlite3_file* file, int remove) {
        return self(file).base()->pMethods->xShmUnmap(self(file).base(), remove);
    }

    // Version 2: without memory-mapped files, which would go past the shim.
    static constexpr sqlite3_io_methods methods{
        2,         close,    read,    write,       truncate,        sync,    size,     lock,
        unlock,    reserved, control, sector_size, characteristics, shm_map, shm_lock, shm_barrier,
        shm_unmap, nullptr,  nullptr};
};

TestVfs::TestVfs()
    : base_(::sqlite3_vfs_find(nullptr)), vfs_(std::make_unique<sqlite3_vfs>(*base_)) {
    static std::atomic<int> made{0};
    name_ = "fanfare-test-" + std::to_string(++made);
    // Everything that is not a file's own (paths, time, randomness) is the system's.
    vfs_->szOsFile += static_cast<int>(sizeof(File));
    vfs_->pNext = nullptr;
    vfs_->zName = name_.c_str();
    vfs_->xOpen = TestVfsMethods::open;
    vfs_->xDelete = TestVfsMethods::remove;
    vfs_->xAccess = TestVfsMethods::access;
    vfs_->pAppData = this;
    if (::sqlite3_vfs_register(vfs_.get(), 0) != SQLITE_OK)
        throw std::runtime_error("the test's file system was not registered");
}

TestVfs::~TestVfs() {
    ::sqlite3_vfs_unregister(vfs_.get());
}

void TestVfs::cut(std::optional<std::uint64_t> tear) {
    const std::lock_guard guard{mutex_};
    cut_now(tear);
}

void TestVfs::cut_at(std::uint64_t nth, std::optional<std::uint64_t> tear) {
    const std::lock_guard guard{mutex_};
    cut_in_ = nth;
    cut_tears_ = tear;
}

void TestVfs::cut_now(std::optional<std::uint64_t> tear) {
    if (cut_.exchange(true) || !tear) return;
    std::mt19937_64 random{*tear};
    for (const auto& [path, contents] : contents_) contents->tear(random);
}

void TestVfs::fail_all(int code, unsigned operations) {
    fail_nth(0, code, operations);
}

void TestVfs::fail_nth(std::uint64_t nth, int code, unsigned operations) {
    const std::lock_guard guard{mutex_};
    fail_code_ = code;
    fail_operations_ = operations;
    fail_at_ = nth;
    seen_ = 0;
    failed_ = 0;
}

void TestVfs::heal() {
    const std::lock_guard guard{mutex_};
    fail_operations_ = 0;
}

int TestVfs::fault(Operation operation) {
    if ((operation & (write | sync)) != 0) {
        if (cut_in_ != 0 && --cut_in_ == 0) cut_now(cut_tears_);
        if (cut_) return SQLITE_IOERR;
    }
    if ((fail_operations_ & operation) == 0) return SQLITE_OK;
    ++seen_;
    if (fail_at_ != 0 && seen_ != fail_at_) return SQLITE_OK;
    ++failed_;
    return fail_code_;
}

} // namespace fanfare::test
