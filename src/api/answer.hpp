#pragma once
// Answers that come later than the handler returned.

#include <fanfare/base/error.hpp>
#include <fanfare/http/exchange.hpp>
#include <fanfare/http/message.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/message.hpp>

#include <string>
#include <utility>

namespace fanfare::api {

/// Where an answer goes: an exchange that may be gone by then. Copied into the callbacks.
class AnswerTo {
  public:
    explicit AnswerTo(http::Exchange& exchange)
        : reactor_(&exchange.reactor()), exchange_(exchange.handle()) {}

    /// `write(response)` fills in the answer. On the exchange's reactor, once.
    template <class Write>
    void with(Write&& write) const {
        http::Exchange* const exchange = http::find_exchange(*reactor_, exchange_);
        if (exchange == nullptr) return;
        http::Response response;
        write(response);
        exchange->respond(response);
    }
    /// Answers with a problem if `code` is one; `detail` may be null.
    [[nodiscard]] bool failed(Code code, const char* detail) const {
        if (code == Code::ok) return false;
        with([&](http::Response& response) {
            response = http::problem(code, detail != nullptr ? detail : "it cannot be done now");
        });
        return true;
    }

  private:
    net::Reactor* reactor_;
    net::Handle exchange_;
};

inline void refuse(http::Exchange& exchange, const char* field, const std::string& what) {
    exchange.respond(http::problem(Error{Code::bad_request, what, field}));
}

/// The user that the path names first, which the pattern calls `field`; else answers and returns
/// null.
inline const std::string* require_user(http::Exchange& exchange, const char* field = "user") {
    const std::string& user = exchange.path_parameter(0);
    const char* const fault = room::id_fault(user);
    if (fault == nullptr) return &user;
    refuse(exchange, field, "`" + std::string{field} + "` " + fault);
    return nullptr;
}

} // namespace fanfare::api
