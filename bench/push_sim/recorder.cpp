#include "recorder.hpp"

#include "text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

namespace sim {
namespace {

bool delivered(const Record& record) {
    return record.status >= 200 && record.status < 300 && !record.rehearsal;
}

std::size_t cost(const Record& record) {
    return sizeof(Record) + record.headers.bytes() + record.body.size() + record.path.size() +
           (record.plaintext ? record.plaintext->size() : 0);
}

/// `"name":"…"`, or `"name_base64":"…"` (base64url) for what is no text.
std::string text_member(std::string_view name, std::string_view value) {
    if (simdjson::validate_utf8(value.data(), value.size())) {
        return fmt::format(",\"{}\":{}", name, json_text(value));
    }
    return fmt::format(",\"{}_base64\":\"{}\"", name, to_base64url(value));
}

std::string to_json(const Record& record) {
    std::string out = fmt::format(
        R"({{"number":{},"time":{},"service":"{}","connection":{},"stream":{},"status":{},"delivered":{})",
        record.number, record.time_ms, to_string(record.service), record.connection, record.stream,
        record.status, delivered(record));
    if (!record.fate.empty()) out += ",\"fate\":" + json_text(record.fate);
    out += text_member("token", record.target);
    if (!record.id.empty()) out += text_member("id", record.id);
    out += text_member("method", record.method);
    out += text_member("path", record.path);
    out += text_member("authority", record.authority);
    out += ",\"headers\":[";
    for (std::size_t i = 0; i < record.headers.size(); ++i) {
        const auto [name, value] = record.headers[i];
        const bool readable = simdjson::validate_utf8(value.data(), value.size());
        out += fmt::format("{}[{},{}]", i == 0 ? "" : ",", json_text(name),
                           json_text(readable ? std::string{value} : to_hex(value)));
    }
    out += ']';
    out += text_member("body", record.body);
    if (record.plaintext) out += text_member("plaintext", *record.plaintext);
    return out + '}';
}

} // namespace

void Recorder::add(ServiceId service, std::uint64_t connection, const Exchange& exchange,
                   std::string_view fate) {
    if (!enabled_) return;
    Record record{.time_ms = wall_ms(),
                  .service = service,
                  .connection = connection,
                  .stream = exchange.stream,
                  .target = exchange.target,
                  .id = exchange.id,
                  .method = exchange.request.method,
                  .path = exchange.request.path,
                  .authority = exchange.request.authority,
                  .headers = exchange.request.headers,
                  .body = exchange.request.body,
                  .plaintext =
                      exchange.decrypted ? std::optional{exchange.plaintext} : std::nullopt,
                  .status = fate.empty() ? exchange.answer.status : 0,
                  .fate = std::string{fate},
                  .rehearsal = exchange.rehearsal};
    const std::lock_guard lock{mutex_};
    record.number = ++last_;
    if (delivered(record) && !record.id.empty() && ids_[record.id]++ > 0) ++duplicates_;
    bytes_ += cost(record);
    records_.push_back(std::move(record));
    while (records_.size() > count_max_ || bytes_ > bytes_max_) forget_oldest();
}

void Recorder::forget_oldest() {
    const Record& oldest = records_.front();
    bytes_ -= cost(oldest);
    if (const auto id = ids_.find(oldest.id); delivered(oldest) && id != ids_.end()) {
        if (--id->second == 0) ids_.erase(id);
    }
    records_.pop_front();
    ++forgotten_;
}

void Recorder::clear() {
    const std::lock_guard lock{mutex_};
    records_.clear();
    ids_.clear();
    bytes_ = 0;
    duplicates_ = 0;
    forgotten_ = 0;
}

std::string Recorder::to_json(const Query& query) {
    const std::lock_guard lock{mutex_};
    std::string out = "{\"requests\":[";
    std::uint64_t next = query.since;
    std::size_t count = 0;
    for (const Record& record : records_) {
        if (record.number <= query.since) continue;
        if (count == query.limit) break;
        next = record.number;
        if (!query.target.empty() && record.target != query.target) continue;
        if (!query.service.empty() && to_string(record.service) != query.service) continue;
        if (count++ > 0) out += ',';
        out += sim::to_json(record);
    }
    return out + fmt::format("],\"next\":{}}}", next);
}

std::uint64_t Recorder::duplicates() {
    const std::lock_guard lock{mutex_};
    return duplicates_;
}

std::uint64_t Recorder::forgotten() {
    const std::lock_guard lock{mutex_};
    return forgotten_;
}

} // namespace sim
