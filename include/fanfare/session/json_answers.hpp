#pragma once
// The answers to history and presence questions as JSON members: the same on a WebSocket and over
// the backend API.

#include <fanfare/base/json_writer.hpp>
#include <fanfare/session/client_protocol.hpp>

#include <string>

namespace fanfare::session {

/// Appends ,"event":…,"id":…,"from":…,"attempt":… of a message, those that it has; `attempt` from
/// the second on.
void append_message_tail(std::string& out, const room::Message& message);

/// Writes the members `room`, `epoch`, `offset`, `messages`, `more` into the open object of `json`,
/// which writes to `out`.
void write_history(JsonWriter& json, std::string& out, const HistoryOk& ok);
/// Writes the members `room`, `members`, `total`.
void write_presence(JsonWriter& json, const PresenceOk& ok);

} // namespace fanfare::session
