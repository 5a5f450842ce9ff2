#pragma once
// The contract of what carries publishes between reactors and nodes. One instance per reactor.

#include <fanfare/base/error.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/room/message.hpp>

#include <cstdint>

namespace fanfare::net {
class Reactor;
}

namespace fanfare::room {

struct IdempotencyKey;

struct PublishResult {
    Code code = Code::ok;
    bool duplicate = false; // an idempotency key was seen before; the first answer is repeated
    bool ephemeral = false; // no position
    bool durable = false;   // its idempotency key was kept with it
    const char* detail = nullptr; // static text where code is an error
    Position position;
};

/// Whoever waits for the answer to a publish; lives as long as its reactor.
class PublishClient {
  public:
    /// On the client's reactor. `who` and `request` are what the publish named.
    virtual void on_published(net::Handle who, std::uint64_t request,
                              const PublishResult& result) = 0;

  protected:
    ~PublishClient() = default;
};

struct PublishReply {
    PublishClient* client = nullptr; // null: nobody waits
    net::Reactor* reactor = nullptr; // the client's
    net::Handle who = 0;
    std::uint64_t request = 0; // which part of the client's call: the room's index
    /// Of the client's call; lives until the answer. Null: none.
    const IdempotencyKey* key = nullptr;
};

class Broker {
  public:
    virtual ~Broker() = default;
    /// Hands a message to its room: numbers it, keeps it, delivers it to all subscribers, answers.
    /// Publishes of one reactor to one room keep their order. The answer comes before the
    /// message itself reaches the publishing session.
    virtual void publish(DraftRef message, const PublishReply& reply) = 0;
};

} // namespace fanfare::room
