// The rules of an FCM v1 message: what Google refuses, and the field that it names then.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

namespace sim {

struct FcmMessage {
    std::string fault;      // what is wrong; empty: nothing
    std::string field;      // where, in Google's words: `message.android.ttl`
    std::string_view token; // of whatever kind of target; a view into the document
    bool to_topic = false;
    bool validate_only = false;
    std::string_view id; // data.id, by which duplicates are counted; empty: none
};

/// Both letter cases of names are good. `parser` owns what the result's views point to.
[[nodiscard]] FcmMessage read_fcm_message(simdjson::dom::parser& parser, const std::string& body);

} // namespace sim
