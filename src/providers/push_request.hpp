#pragma once
// A push as one HTTP request, for whoever owns the connection. Always POST.

#include <string>
#include <string_view>
#include <vector>

namespace fanfare::providers {

struct RequestField {
    std::string_view name; // static text, lower case
    std::string value;     // without CR, LF and NUL
    /// Not to enter the HPACK table: a secret, or different in each request, where it would push
    /// out what repeats.
    bool never_index = false;
};

struct PushRequest {
    std::string path; // with its query. Holds a secret and is different each time: never indexed
    std::vector<RequestField> fields;
    std::string body; // may be empty
};

} // namespace fanfare::providers
