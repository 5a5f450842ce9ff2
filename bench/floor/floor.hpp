// The loop, its sockets and rooms.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace floor_server {

class Floor {
  public:
    /// Listens on the loopback address. Throws std::system_error.
    Floor(std::uint16_t port, bool batch);
    ~Floor();
    Floor(const Floor&) = delete;
    Floor& operator=(const Floor&) = delete;

    /// Serves until `stopped` is set by a signal's handler.
    void run(const volatile std::sig_atomic_t& stopped);

  private:
    struct Room {
        std::string name;
        std::uint64_t newest = 0;
        std::vector<int> ws; // descriptors, all that is kept per subscriber
        std::vector<int> sse;
        // --batch: frames of this turn
        std::string ws_pending;
        std::string sse_pending;
    };
    /// Per descriptor: what it speaks, and its room's index behind that.
    enum class Speaks : std::uint8_t { http, ws, ws_subscribed, sse };
    struct Peer {
        Speaks speaks = Speaks::http;
        std::uint32_t room : 24 = 0;
    };

    void accept_all();
    void on_readable(int fd);
    /// Each takes what `in` begins with and returns how much that was; 0: it is not whole yet.
    std::size_t on_http(int fd, std::string_view in);
    std::size_t on_frame(int fd, std::string_view in);
    void upgrade(int fd, std::string_view head);
    void subscribe_ws(int fd, std::string_view request);
    void subscribe_sse(int fd, std::string_view head);
    void publish(int fd, std::string_view body);
    void deliver(const std::vector<int>& subscribers, const std::string& frames);
    void flush();
    void drop(int fd);
    std::uint32_t room_index(std::string_view name);

    const bool batch_;
    int listener_ = -1;
    int epoll_ = -1;
    std::vector<char> buffer_;
    std::vector<Peer> peers_;                     // by descriptor
    std::unordered_map<int, std::string> pieces_; // of requests that did not arrive whole: rare
    std::vector<Room> rooms_;
    std::unordered_map<std::string, std::uint32_t> room_by_name_;
    std::vector<std::uint32_t> pending_; // rooms with frames of this turn
    std::size_t subscribers_ = 0;
    // kept from message to message for their capacity
    std::string text_;
    std::string ws_frame_;
    std::string sse_event_;
    std::string room_name_;
};

} // namespace floor_server
