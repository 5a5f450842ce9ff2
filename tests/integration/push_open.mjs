// Opens Web Push bodies as a browser does (RFC 8291), with Node's own crypto. One JSON object a line
// on stdin: `private` (32 bytes), `auth`, `body`, all base64url; one line of plaintext each,
// base64url, or "refused: …".

import { createDecipheriv, createECDH, hkdfSync } from "node:crypto";
import { createInterface } from "node:readline";

const bytes = (text) => Buffer.from(text, "base64url");

function open({ private: scalar, auth, body }) {
  const receiver = createECDH("prime256v1");
  receiver.setPrivateKey(bytes(scalar));
  const sealed = bytes(body);
  const salt = sealed.subarray(0, 16);
  const recordSize = sealed.readUInt32BE(16);
  const keyLength = sealed[20];
  const sender = sealed.subarray(21, 21 + keyLength);
  const record = sealed.subarray(21 + keyLength);
  if (keyLength !== 65 || record.length > recordSize) throw new Error("more than one record");

  const info = Buffer.concat([Buffer.from("WebPush: info\0"), receiver.getPublicKey(), sender]);
  const secret = receiver.computeSecret(sender);
  const key = Buffer.from(hkdfSync("sha256", secret, bytes(auth), info, 32));
  const derive = (label, size) =>
    Buffer.from(hkdfSync("sha256", key, salt, Buffer.from(`Content-Encoding: ${label}\0`), size));
  const decipher = createDecipheriv("aes-128-gcm", derive("aes128gcm", 16), derive("nonce", 12));
  decipher.setAuthTag(record.subarray(-16));
  const padded = Buffer.concat([decipher.update(record.subarray(0, -16)), decipher.final()]);
  let end = padded.length;
  while (end > 0 && padded[end - 1] === 0) end -= 1;
  if (end === 0 || padded[end - 1] !== 2) throw new Error("no delimiter of a last record");
  return padded.subarray(0, end - 1).toString("base64url");
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = open(JSON.parse(line));
  } catch (error) {
    answer = `refused: ${error.message}`;
  }
  process.stdout.write(`${answer}\n`);
}
