#include <fanfare/brokers/brokers.hpp>
#include <fanfare/net/reactor.hpp>

#include <utility>

namespace fanfare::brokers {
namespace {

struct Commit {
    room::Rooms* home;
    room::DraftRef message;
    room::PublishReply reply;
    void operator()() { home->commit(std::move(message), reply); }
};

class LocalBroker final : public room::Broker {
  public:
    explicit LocalBroker(room::Rooms& rooms) : rooms_(rooms) {}

    void publish(room::DraftRef message, const room::PublishReply& reply) override {
        room::Rooms& home = rooms_.home_of(message->room_hash());
        home.reactor().post(Commit{&home, std::move(message), reply});
    }

  private:
    room::Rooms& rooms_;
};

} // namespace

std::unique_ptr<room::Broker> make_local(room::Rooms& rooms) {
    return std::make_unique<LocalBroker>(rooms);
}

} // namespace fanfare::brokers
