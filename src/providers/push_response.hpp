#pragma once
// An answer of the HTTP/2 client, as the codecs read it.

#include "push_answer.hpp"

#include <fanfare/http/h2_client.hpp>

#include <array>

namespace fanfare::providers {

/// Lives as long as the answer's views: during the call.
class PushResponse {
  public:
    explicit PushResponse(const http::H2Answer& answer)
        : fields_{field(answer, "apns-id"), field(answer, "retry-after"), field(answer, "date")},
          status_(answer.status), body_(answer.body) {}

    [[nodiscard]] PushAnswer view() const noexcept { return {status_, fields_, body_}; }

  private:
    [[nodiscard]] static AnswerField field(const http::H2Answer& answer, std::string_view name) {
        return {name, answer.header(name)};
    }

    std::array<AnswerField, 3> fields_; // all that any of them looks at
    int status_;
    std::string_view body_;
};

} // namespace fanfare::providers
