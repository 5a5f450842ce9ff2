// A request and what becomes of it. Both wire versions fill one of these; the services judge it.
#pragma once

#include "clock.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sim {

enum class ServiceId : std::uint8_t { apns, fcm, webpush, oauth, control };
inline constexpr std::size_t services_count = 5;

[[nodiscard]] constexpr std::string_view to_string(ServiceId id) {
    constexpr std::string_view names[] = {"apns", "fcm", "webpush", "oauth", "control"};
    return names[static_cast<std::size_t>(id)];
}

/// Header fields in one piece of memory that is kept for the next request.
class HeaderList {
  public:
    struct Field {
        std::string_view name;
        std::string_view value;
    };

    void clear() {
        text_.clear();
        places_.clear();
    }
    void add(std::string_view name, std::string_view value) {
        places_.push_back({static_cast<std::uint32_t>(text_.size()),
                           static_cast<std::uint32_t>(name.size()),
                           static_cast<std::uint32_t>(value.size())});
        text_.append(name).append(value);
    }
    [[nodiscard]] std::size_t size() const { return places_.size(); }
    [[nodiscard]] std::size_t bytes() const { return text_.size(); }

    /// Views until the next add() or clear().
    [[nodiscard]] Field operator[](std::size_t i) const {
        const Place& place = places_[i];
        const std::string_view all = text_;
        return {all.substr(place.start, place.name_size),
                all.substr(place.start + place.name_size, place.value_size)};
    }

    /// The first value of `name` (lower case); empty when absent.
    [[nodiscard]] std::string_view get(std::string_view name) const {
        for (std::size_t i = 0; i < size(); ++i) {
            if (const Field field = (*this)[i]; field.name == name) return field.value;
        }
        return {};
    }
    [[nodiscard]] std::size_t count(std::string_view name) const {
        std::size_t found = 0;
        for (std::size_t i = 0; i < size(); ++i) found += (*this)[i].name == name ? 1U : 0U;
        return found;
    }

  private:
    struct Place {
        std::uint32_t start;
        std::uint32_t name_size;
        std::uint32_t value_size;
    };
    std::string text_;
    std::vector<Place> places_;
};

/// Header names are in lower case, also those that came over HTTP/1.1; pseudo-headers stand apart.
struct Request {
    std::string method;
    std::string path;
    std::string scheme;
    std::string authority;
    HeaderList headers;
    std::string body;

    void clear() {
        method.clear();
        path.clear();
        scheme.clear();
        authority.clear();
        headers.clear();
        body.clear();
    }
};

/// What happens instead of an answer.
enum class Deed : std::uint8_t {
    answer,
    reset_stream, // RST_STREAM with error_code; over HTTP/1.1 the connection ends
    drop,         // the connection ends without a word
    never,        // the stream stays open, unanswered
};

/// What happens to the connection after the answer.
enum class After : std::uint8_t { stay, goaway, close };

struct Answer {
    int status = 200;
    HeaderList headers;
    std::string body;
    Deed deed = Deed::answer;
    std::uint32_t error_code = 0; // HTTP/2's
    Duration delay{};
    After after = After::stay;
    std::string after_reason; // of the GOAWAY

    void clear() {
        status = 200;
        headers.clear();
        body.clear();
        deed = Deed::answer;
        error_code = 0;
        delay = {};
        after = After::stay;
        after_reason.clear();
    }
};

/// One stream, or one request of an HTTP/1.1 connection. Reused.
struct Exchange {
    enum class State : std::uint8_t {
        receiving, // the request is still coming
        waiting,   // judged; the answer is due later, or never
        answered,  // the answer is with the codec
    };

    std::int32_t stream = 0;
    State state = State::receiving;
    bool too_large = false; // the body was cut at body_bytes_max
    std::size_t body_sent = 0;
    Request request;
    Answer answer;
    // What the service found out, for the record.
    std::string target; // device token, subscription, service account
    std::string id;     // apns-id or the like: what duplicates are counted by
    std::string plaintext;
    bool decrypted = false;
    bool rehearsal = false; // all was checked, nothing is delivered: FCM's validate_only

    void clear() {
        stream = 0;
        state = State::receiving;
        too_large = false;
        body_sent = 0;
        request.clear();
        answer.clear();
        target.clear();
        id.clear();
        plaintext.clear();
        decrypted = false;
        rehearsal = false;
    }
};

inline constexpr std::size_t body_bytes_max = 1 << 20;

} // namespace sim
