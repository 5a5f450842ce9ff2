#!/usr/bin/env python3
"""What the providers' codecs make, held against implementations that are not ours.

    push_codecs.py PUSH_CODEC_TOOL

Web Push bodies are opened twice, by Python's `cryptography` from the text of RFC 8291 and by Node's
own crypto; tokens for Apple, Google and VAPID are verified by PyJWT.
"""

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOOL = sys.argv.pop(1) if len(sys.argv) > 1 else ""
OPENER = Path(__file__).resolve().parent / "push_open.mjs"
PLAINTEXT_MAX = 3993
MESSAGES = int(os.environ.get("FANFARE_PUSH_MESSAGES", "2000"))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Lines:
    """A process that answers each line with one line."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        return status


def mac(key, data):
    one = hmac.HMAC(key, hashes.SHA256())
    one.update(data)
    return one.finalize()


class Browser:
    """A subscription and its receiver, by the steps of RFC 8291 section 3.4."""

    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        self.auth = os.urandom(16)

    def scalar(self):
        return self.private.private_numbers().private_value.to_bytes(32, "big")

    def open(self, body):
        salt, record_size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, record = body[21:21 + length], body[21 + length:]
        assert length == 65 and record_size == 4096 and len(body) <= 4096
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        secret = self.private.exchange(ec.ECDH(), point)
        key = mac(mac(self.auth, secret), b"WebPush: info\0" + self.public + sender + b"\x01")
        base = mac(salt, key)
        content_key = mac(base, b"Content-Encoding: aes128gcm\0\x01")[:16]
        nonce = mac(base, b"Content-Encoding: nonce\0\x01")[:12]
        padded = AESGCM(content_key).decrypt(nonce, record, None).rstrip(b"\0")
        assert padded.endswith(b"\x02"), "no delimiter of a last record"
        return padded[:-1]


class PushCodecs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tool = Lines(TOOL)
        cls.node = Lines("node", str(OPENER))
        cls.files = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        assert cls.tool.close() == 0
        assert cls.node.close() == 0
        cls.files.cleanup()

    def write(self, name, text):
        path = Path(self.files.name) / name
        path.write_text(text)
        return str(path)

    def key_file(self, key, name="key.pem"):
        return self.write(name, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()).decode())

    def encrypt(self, browser, plaintext):
        body = self.tool.ask(f"encrypt {b64(browser.public)} {b64(browser.auth)} {b64(plaintext)}")
        self.assertFalse(body.startswith("error"), body)
        return unb64(body)

    def open_in_node(self, browser, body):
        return self.node.ask(json.dumps({"private": b64(browser.scalar()),
                                         "auth": b64(browser.auth), "body": b64(body)}))

    def test_browsers_open_every_message(self):
        chance = random.Random(8291)
        browsers = [Browser() for _ in range(20)]
        lengths = [0, 1, 255, 256, 257, PLAINTEXT_MAX - 1, PLAINTEXT_MAX]
        salts, senders = set(), set()
        for number in range(MESSAGES):
            browser = browsers[number % len(browsers)]
            length = lengths[number] if number < len(lengths) else chance.randint(0, PLAINTEXT_MAX)
            # Zeros at the end must not be taken for padding.
            plaintext = chance.randbytes(length) if number % 2 else bytes(length)
            body = self.encrypt(browser, plaintext)
            self.assertEqual(browser.open(body), plaintext)
            self.assertEqual(self.open_in_node(browser, body), b64(plaintext))
            salts.add(body[:16])
            senders.add(body[21:86])
        self.assertEqual((len(salts), len(senders)), (MESSAGES, MESSAGES))

    def test_a_changed_body_does_not_open(self):
        browser = Browser()
        body = bytearray(self.encrypt(browser, b"hello"))
        body[-1] ^= 1
        self.assertTrue(self.open_in_node(browser, bytes(body)).startswith("refused"))

    def test_what_cannot_be_encrypted_is_refused(self):
        browser = Browser()
        good = f"{b64(browser.public)} {b64(browser.auth)}"
        self.assertEqual(self.tool.ask(f"encrypt {good} {b64(bytes(PLAINTEXT_MAX + 1))}"),
                         "error: the message is larger than 3993 bytes")
        self.assertEqual(self.tool.ask(f"encrypt {b64(bytes(65))} {b64(browser.auth)} {b64(b'x')}"),
                         "error: the subscription's key is not a point on P-256")

    def test_vapid(self):
        key = ec.generate_private_key(ec.SECP256R1())
        point = key.public_key().public_bytes(serialization.Encoding.X962,
                                              serialization.PublicFormat.UncompressedPoint)
        scalar = key.private_numbers().private_value.to_bytes(32, "big")
        for file in (self.key_file(key), self.write("vapid.txt", b64(scalar) + "\n")):
            for origin in ("https://web.push.apple.com", "https://push.example.net:8443"):
                value = self.tool.ask(f"vapid {file} mailto:ops@example.com {origin}")
                scheme, token, shown = value.replace(",", "").split(" ")
                self.assertEqual((scheme, shown), ("vapid", "k=" + b64(point)))
                claims = jwt.decode(token.removeprefix("t="), key.public_key(),
                                    algorithms=["ES256"], audience=origin)
                self.assertEqual(claims["sub"], "mailto:ops@example.com")
                self.assertLessEqual(claims["exp"], time.time() + 24 * 3600 - 60)
                self.assertGreater(claims["exp"], time.time() + 6 * 3600)

    def test_apns_token(self):
        key = ec.generate_private_key(ec.SECP256R1())
        value = self.tool.ask(f"apns {self.key_file(key)} ABC123DEFG DEF123GHIJ")
        scheme, token = value.split(" ")
        self.assertEqual(scheme, "bearer")
        self.assertEqual(jwt.get_unverified_header(token), {"alg": "ES256", "kid": "ABC123DEFG"})
        claims = jwt.decode(token, key.public_key(), algorithms=["ES256"])
        self.assertEqual(set(claims), {"iss", "iat"})
        self.assertEqual(claims["iss"], "DEF123GHIJ")
        self.assertLess(abs(claims["iat"] - time.time()), 60)

    def test_fcm_assertion(self):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        uri = "https://oauth2.googleapis.com/token"
        account = {"type": "service_account", "project_id": "demo-1", "private_key_id": "k1",
                   "private_key": Path(self.key_file(key, "rsa.pem")).read_text(),
                   "client_email": "push@demo-1.iam.gserviceaccount.com", "token_uri": uri}
        body = self.tool.ask("fcm " + self.write("account.json", json.dumps(account)))
        form = urllib.parse.parse_qs(body, strict_parsing=True)
        self.assertEqual(form["grant_type"], ["urn:ietf:params:oauth:grant-type:jwt-bearer"])
        token = form["assertion"][0]
        self.assertEqual(jwt.get_unverified_header(token),
                         {"alg": "RS256", "typ": "JWT", "kid": "k1"})
        claims = jwt.decode(token, key.public_key(), algorithms=["RS256"], audience=uri)
        self.assertEqual(claims["iss"], account["client_email"])
        self.assertEqual(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging")
        self.assertEqual(claims["exp"] - claims["iat"], 3600)

    def test_wrong_keys_are_refused_by_name(self):
        other = self.key_file(ec.generate_private_key(ec.SECP384R1()), "p384.pem")
        self.assertEqual(self.tool.ask(f"apns {other} ABC123DEFG DEF123GHIJ"),
                         f"error: {other} is on another curve: ES256 needs P-256 (prime256v1)")


if __name__ == "__main__":
    unittest.main()
