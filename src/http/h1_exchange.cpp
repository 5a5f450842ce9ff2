// The connection as its handlers see it: one Exchange after the other.

#include "h1_connection.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/log.hpp>

#include <new>
#include <typeinfo>
#include <utility>

namespace fanfare::http {
namespace {

// Answers up to this size are copied into one piece with their head.
constexpr std::size_t one_piece_max = std::size_t{8} * 1024;

/// What an exchange's handle names: gone with the answer, while the connection stays. Asked for by
/// each request that waits, so its memory is kept for the next one.
class OpenExchange final : public net::Owned {
  public:
    explicit OpenExchange(Exchange& named) : exchange(named) {}
    Exchange& exchange;

    static void* operator new(std::size_t size) {
        Spare& spare = spare_blocks();
        if (spare.first == nullptr) return ::operator new(size);
        --spare.count;
        return std::exchange(spare.first, spare.first->next);
    }
    static void operator delete(void* at) {
        Spare& spare = spare_blocks();
        if (spare.count == spare_max) return ::operator delete(at);
        ++spare.count;
        spare.first = ::new (at) Block{spare.first};
    }

  private:
    static constexpr std::size_t spare_max = 1024;
    struct Block {
        Block* next;
    };
    struct Spare {
        Block* first = nullptr;
        std::size_t count = 0;
        ~Spare() {
            while (first != nullptr) ::operator delete(std::exchange(first, first->next));
        }
    };
    static Spare& spare_blocks() {
        thread_local Spare spare;
        return spare;
    }
};

} // namespace

Exchange* find_exchange(net::Reactor& reactor, net::Handle handle) noexcept {
    net::Owned* const named = reactor.find(handle);
    // The class is final, so that comparing types will do: a dynamic_cast costs ten times as much.
    if (named == nullptr || typeid(*named) != typeid(OpenExchange)) return nullptr;
    return &static_cast<OpenExchange*>(named)->exchange;
}

net::Handle H1Connection::handle() const noexcept {
    if (!work_ || over()) return 0;
    if (work_->handle == 0) {
        // The exchange is not changed by being named; what is registered only points at it.
        auto& self = const_cast<H1Connection&>(*this); // NOLINT
        work_->handle = reactor_.adopt(std::make_unique<OpenExchange>(self));
    }
    return work_->handle;
}

void H1Connection::end_handle() {
    if (work_ && work_->handle != 0) reactor_.retire(std::exchange(work_->handle, 0));
}

const RequestHead& H1Connection::head() const noexcept {
    return work_->request().head;
}

std::string_view H1Connection::body() const noexcept {
    return work_->body;
}

const std::string& H1Connection::path_parameter(std::size_t index) const noexcept {
    FANFARE_ASSERT(index < work_->match.parameters.size());
    return work_->match.parameters[index];
}

bool H1Connection::peer_is_loopback() const {
    return transport_ && transport_->peer_is_loopback();
}

std::string H1Connection::peer() const {
    return transport_ ? transport_->peer() : "unknown";
}

std::size_t H1Connection::queued_bytes() const noexcept {
    return out_.queued_bytes();
}

// --- answers ---

bool H1Connection::must_close(const Response& response) const noexcept {
    const Work& work = *work_;
    if (response.close || !work.request().keep_alive || server_->draining || shed_) return true;
    if (state_ != State::body) return false;
    // The rest of the body stands before the next request. A client that still waits for "100
    // Continue" may or may not send it (RFC 9110 §10.1.1).
    if (work.request().expects_continue && !work.continue_sent) return true;
    return !work.decoder.chunked() && work.decoder.remaining() > discard_bytes_max;
}

void H1Connection::push(std::string_view bytes) {
    out_.push(LocalBytes::copy_of(bytes));
    pushed_ += bytes.size();
}

/// Leaves the head in the server's scratch string.
void H1Connection::push_head(const Response& response, Framing framing, bool close) {
    Work& work = *work_;
    // An error is worth finding again in the logs, whether or not the client thought of it.
    if (work.request_id.empty() && response.status >= 400)
        work.request_id = server_->make_request_id();
    server_->scratch.clear();
    append_head(server_->scratch, {.response = response,
                                   .framing = framing,
                                   .start = server_->start.of(response, reactor_.wall()),
                                   .request_id = work.request_id,
                                   .close = close,
                                   .http_1_0 = work.request().head.http_1_0});
}

void H1Connection::send_answer(const Response& response, bool close) {
    Work& work = *work_;
    push_head(response, Framing::length, close);
    const bool with_body = work.request().head.method != Method::head &&
                           may_have_body(response.status) && !response.content_type.empty() &&
                           !response.body.empty();
    if (with_body && response.body.size() <= one_piece_max) {
        server_->scratch += response.body;
        push(server_->scratch);
    } else {
        push(server_->scratch);
        if (with_body) push(response.body);
    }
    work.answer = Work::Answer::complete;
    close_after_ = close;
    server_->router.count(work.route_index(), response.status);
    server_->router.time(work.route_index(),
                         static_cast<double>(reactor_.clock().mono_micros() - work.began) / 1e6);
    if (log::enabled(log::Level::debug)) [[unlikely]]
        log::debug("http_request",
                   {{"method", method_name(work.request().head.method)},
                    {"route", work.route() != nullptr ? std::string_view{work.route()->pattern}
                                                      : std::string_view{"none"}},
                    {"status", response.status},
                    {"request", work.request_id},
                    {"peer", peer()}});
    end_handle();
}

/// The loop goes on behind an answer; at once only if no code of a handler can be in the way.
void H1Connection::after_answer() {
    if (feeding_) return;
    if (work_->sink || work_->has_input()) return continue_later();
    feed({});
}

void H1Connection::respond(const Response& response) {
    if (state_ == State::closed) return;
    FANFARE_ASSERT(work_ && work_->answer == Work::Answer::none);
    send_answer(response, must_close(response));
    after_answer();
}

void H1Connection::begin_response(const Response& head) {
    if (state_ == State::closed) return;
    FANFARE_ASSERT(work_ && work_->answer == Work::Answer::none && may_have_body(head.status));
    Work& work = *work_;
    work.chunked_answer = !work.request().head.http_1_0;
    close_after_ = must_close(head) || !work.chunked_answer;
    push_head(head, work.chunked_answer ? Framing::chunked : Framing::until_close, close_after_);
    push(server_->scratch);
    work.answer = Work::Answer::streaming;
    work.streamed_status = head.status;
    write_body(head.body);
    if (!feeding_) update_io();
}

void H1Connection::write_body(std::string_view bytes) {
    if (state_ == State::closed) return;
    FANFARE_ASSERT(work_ && work_->answer == Work::Answer::streaming);
    if (bytes.empty() || work_->request().head.method == Method::head) return;
    if (!work_->chunked_answer) return push(bytes);
    std::string& scratch = server_->scratch;
    scratch.clear();
    append_chunk_size(scratch, bytes.size());
    if (bytes.size() <= one_piece_max) {
        scratch.append(bytes).append(chunk_end);
        return push(scratch);
    }
    push(scratch);
    push(bytes);
    push(chunk_end);
}

void H1Connection::end_body() {
    if (state_ == State::closed) return;
    FANFARE_ASSERT(work_ && work_->answer == Work::Answer::streaming);
    Work& work = *work_;
    if (work.chunked_answer && work.request().head.method != Method::head) push(last_chunk);
    work.answer = Work::Answer::complete;
    // What was not known at the start: a drain, or a body too long to be skipped.
    close_after_ = close_after_ || must_close(Response{});
    server_->router.count(work.route_index(), work.streamed_status);
    end_handle();
    after_answer();
}

// --- the body's flow, and the way out ---

void H1Connection::pause_body() {
    if (state_ != State::body) return;
    work_->paused = true;
    if (!feeding_) update_io();
}

void H1Connection::resume_body() {
    if (state_ != State::body || !work_->paused) return;
    work_->paused = false;
    if (!feeding_) continue_later();
}

Detached H1Connection::detach() {
    FANFARE_ASSERT(state_ == State::waiting && work_->answer == Work::Answer::none);
    Detached detached;
    detached.leftover = feeding_ ? std::string{rest_} : work_->input.substr(work_->input_start);
    detached.chunked = !work_->request().head.http_1_0;
    // Earlier answers go first. A peer that does not take them while it asks for an upgrade gets
    // the end of the stream instead of bytes in the wrong order.
    out_.flush();
    if (!out_.empty()) transport_->shutdown_send();
    out_.clear();
    out_.attach(nullptr);
    cancel();
    end_handle();
    if (state_ != State::closed) { // the flush may have found the peer gone
        state_ = State::closed;
        unlink();
        reactor_.retire(Owned::handle());
    }
    if (!reading_) transport_->want_readable(true);
    detached.transport = std::move(transport_);
    return detached;
}

} // namespace fanfare::http
