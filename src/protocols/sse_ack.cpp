#include "sse_ack.hpp"

#include <fanfare/base/json_check.hpp>

#include <simdjson.h>

namespace fanfare::protocols {
namespace {

Error wrong(std::string field, const char* what) {
    return {Code::bad_request, "`" + field + "` " + what, field};
}

/// A member that must be a non-empty string, into `to`.
Error read_text(simdjson::ondemand::object& object, const char* name, std::string& to) {
    std::string_view text;
    const auto fault = object.find_field_unordered(name).get_string().get(text);
    if (fault == simdjson::NO_SUCH_FIELD) return wrong(name, "is missing");
    if (fault != simdjson::SUCCESS || text.empty()) return wrong(name, "must be a string");
    to = text;
    return {};
}

} // namespace

std::variant<Error, SseAck> parse_sse_ack(std::string_view padded) {
    if (const JsonFault fault = check_json(padded))
        return Error{Code::bad_request, "byte " + std::to_string(fault.at) + ": " + fault.what, {}};
    simdjson::ondemand::parser parser;
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    if (parser.iterate(padded.data(), padded.size(), padded.size() + simdjson::SIMDJSON_PADDING)
            .get(document) != simdjson::SUCCESS)
        return Error{Code::internal, "the body could not be read", {}};
    if (document.get_object().get(object) != simdjson::SUCCESS)
        return Error{Code::bad_request, "the body must be a JSON object", {}};
    SseAck ack;
    if (Error error = read_text(object, "session", ack.session)) return error;
    if (Error error = read_text(object, "room", ack.room)) return error;
    const auto fault = object.find_field_unordered("offset").get_uint64().get(ack.offset);
    if (fault == simdjson::NO_SUCH_FIELD) return wrong("offset", "is missing");
    if (fault != simdjson::SUCCESS) return wrong("offset", "must be an integer ≥ 0");
    return ack;
}

} // namespace fanfare::protocols
