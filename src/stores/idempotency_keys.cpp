#include "idempotency_keys.hpp"

#include <utility>

namespace fanfare::stores {

using room::IdempotencyKey;
using room::PublishResults;

void IdempotencyKeys::begin(const IdempotencyKey& key, CallRef call, MonoMillis now) {
    expire(now); // the timer is coarse, the window is not
    const auto found = keys_.find(key.text);
    if (found == keys_.end()) {
        if (!make_room()) {
            call->answer(Verdict::full, {});
            return;
        }
        State& state = keys_[key.text];
        state.fingerprint = key.fingerprint;
        state.waiting = std::make_unique<Waiting>();
        call->answer(Verdict::first, {});
        return;
    }
    State& state = found->second;
    if (state.fingerprint != key.fingerprint)
        call->answer(Verdict::conflict, {});
    else if (state.waiting)
        state.waiting->push_back(std::move(call));
    else
        call->answer(Verdict::duplicate, state.results);
}

void IdempotencyKeys::finish(const IdempotencyKey& key, PublishResults results, MonoMillis now) {
    Entry* const entry = find_in_flight(key);
    if (entry == nullptr) return;
    State& state = entry->second;
    const std::unique_ptr<Waiting> waiting = std::move(state.waiting);
    state.results = std::move(results);
    state.expires = now + window_;
    finished_.push_back(entry);
    if (waiting->empty()) return;
    // A copy, because whoever is answered may begin another call, which may forget this key.
    const PublishResults answer = state.results;
    for (const CallRef& call : *waiting) call->answer(Verdict::duplicate, answer);
}

void IdempotencyKeys::refuse(const IdempotencyKey& key) {
    Entry* const entry = find_in_flight(key);
    if (entry == nullptr) return;
    const std::unique_ptr<Waiting> waiting = std::move(entry->second.waiting);
    // The next one is a first again, and is asked about again: it may be the one that it was.
    keys_.erase(key.text);
    for (const CallRef& call : *waiting) call->answer(Verdict::conflict, {});
}

void IdempotencyKeys::abandon(const IdempotencyKey& key) {
    Entry* const entry = find_in_flight(key);
    if (entry == nullptr) return;
    Waiting& waiting = *entry->second.waiting;
    if (waiting.empty()) {
        keys_.erase(key.text);
        return;
    }
    // Whoever has waited longest is the first now; the others wait for it.
    const CallRef next = std::move(waiting.front());
    waiting.erase(waiting.begin());
    next->answer(Verdict::first, {});
}

void IdempotencyKeys::expire(MonoMillis now) {
    // As much work as there was when these keys were finished, so bounded by the load then.
    while (!finished_.empty() && finished_.front()->second.expires <= now) forget_oldest();
}

bool IdempotencyKeys::make_room() {
    if (keys_.size() < keys_max_) return true;
    if (finished_.empty()) return false;
    forget_oldest();
    return true;
}

void IdempotencyKeys::forget_oldest() {
    const auto found = keys_.find(finished_.front()->first);
    finished_.pop_front();
    keys_.erase(found);
}

/// Null for what is not in flight: a second finish changes nothing.
IdempotencyKeys::Entry* IdempotencyKeys::find_in_flight(const IdempotencyKey& key) {
    const auto found = keys_.find(key.text);
    return found != keys_.end() && found->second.waiting ? &*found : nullptr;
}

} // namespace fanfare::stores
