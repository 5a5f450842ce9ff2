"""The push simulator as a process, and what a test sends to it: tokens, keys, encrypted messages."""

import base64
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from h2_client import H2Client
from harness import REPOSITORY, TIMEOUT, http_call

PROGRAM = os.environ.get("FANFARE_PUSH_SIM", str(REPOSITORY / "build/release/bench/fanfare-push-sim"))
TEAM, KID = "TEAM123456", "KEY1234567"
DEVICE = "ab" * 32
TOPIC = "com.example.app"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
SERVICES = ("apns", "fcm", "webpush", "oauth", "control")

# Of the whole run: making keys is slow.
APNS_KEY = ec.generate_private_key(ec.SECP256R1())
OAUTH_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
VAPID_KEY = ec.generate_private_key(ec.SECP256R1())


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962,
                                         serialization.PublicFormat.UncompressedPoint)


def write_public(path, key):
    Path(path).write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM,
                                                         serialization.PublicFormat.SubjectPublicKeyInfo))
    return str(path)


class Simulator:
    def __init__(self, directory, *arguments, services=SERVICES):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        ports = [word for service in services for word in (f"--{service}", "0")]
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen([PROGRAM, *ports, "--dir", str(self.directory), *map(str, arguments)],
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        assert line, self.log()
        self.ready = json.loads(line)
        self.ca = self.ready.get("ca")
        if "control" in self.ready:
            self.initial = self.stats()

    def log(self):
        return (self.directory / "log").read_text()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(TIMEOUT) == 0, self.log()
        self.process.stdout.close()
        return self.log()

    def port(self, service):
        return self.ready[service]

    def connect(self, service="apns", **options):
        return H2Client(self.port(service), self.ca, **options)

    def control(self, method, path, body=None, status=200):
        answer = http_call(self.port("control"), method, path, body)
        assert answer.status == status, answer.body
        return answer.json()

    def script(self, service, **orders):
        return self.control("POST", "/script", {"service": service, **orders})

    def faults(self, service, **faults):
        return self.script(service, faults=faults)

    def requests(self, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return self.control("GET", f"/requests?{text}")["requests"]

    def stats(self, service=None):
        stats = self.control("GET", "/stats")
        return stats["services"][service] if service else stats

    def subscribe(self, **options):
        return self.control("POST", "/subscriptions", options)


# APNs

def provider_token(*, key=APNS_KEY, team=TEAM, kid=KID, age=0, **claims):
    payload = {"iss": team, "iat": int(time.time()) - age} | claims
    return jwt.encode(payload, key, algorithm="ES256", headers={"kid": kid})


def apns_headers(token=None, **changes):
    """As a provider sends them; `push_type=None` leaves apns-push-type out."""
    headers = {"authorization": f"bearer {token}" if token else None, "apns-topic": TOPIC, "apns-push-type": "alert"}
    for name, value in changes.items():
        headers[name if name == "authorization" else "apns-" + name.replace("_", "-")] = value
    return {name: value for name, value in headers.items() if value is not None}


# OAuth and FCM

def assertion(audience, *, key=OAUTH_KEY, algorithm="RS256", **claims):
    now = int(time.time())
    payload = {"iss": "robot@example.iam.gserviceaccount.com", "scope": SCOPE, "aud": audience,
               "iat": now, "exp": now + 3600} | claims
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, key, algorithm=algorithm)


def grant(token):
    return ("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + token).encode()


FORM = {"content-type": "application/x-www-form-urlencoded"}


def access_token(simulator):
    with simulator.connect("oauth") as client:
        answer = client.call("/token", FORM, grant(assertion(f"https://{client.authority}/token")))
        assert answer.status == 200, answer.body
        return json.loads(answer.body)["access_token"]


def fcm_headers(token):
    return {"authorization": f"Bearer {token}", "content-type": "application/json"}


def fcm_body(token="device-1", **members):
    return json.dumps({"message": {"token": token, "data": {"id": "1"}} | members}).encode()


SEND = "/v1/projects/demo/messages:send"


# Web Push

def vapid(audience, *, key=VAPID_KEY, public=None, **claims):
    payload = {"aud": audience, "exp": int(time.time()) + 12 * 3600, "sub": "mailto:push@example.com"} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return f"vapid t={jwt.encode(payload, key, algorithm='ES256')}, k={public or b64(point(key))}"


def webpush_headers(client, **changes):
    headers = {"ttl": "60", "content-encoding": "aes128gcm", "authorization": vapid(f"https://{client.authority}")}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


def mac(key, data):
    one = hmac.HMAC(key, hashes.SHA256())
    one.update(data)
    return one.finalize()


def encrypt(subscription, plaintext, *, key=None, salt=None, delimiter=b"\x02", record_size=4096):
    """RFC 8291, from its formulas."""
    key, salt = key or ec.generate_private_key(ec.SECP256R1()), salt or os.urandom(16)
    theirs, auth = unb64(subscription["keys"]["p256dh"]), unb64(subscription["keys"]["auth"])
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
    ikm = mac(mac(auth, shared), b"WebPush: info\0" + theirs + point(key) + b"\x01")
    prk = mac(salt, ikm)
    cek = mac(prk, b"Content-Encoding: aes128gcm\0\x01")[:16]
    nonce = mac(prk, b"Content-Encoding: nonce\0\x01")[:12]
    record = AESGCM(cek).encrypt(nonce, plaintext + delimiter, None)
    return salt + record_size.to_bytes(4, "big") + b"\x41" + point(key) + record


def decrypt(key, auth, body):
    """What a browser with this key does with a body of one record; RFC 8291, from its formulas."""
    salt, record_size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    assert length == 65 and len(body) - 86 <= record_size and len(body) <= 4096
    theirs = body[21:86]
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
    prk = mac(salt, mac(mac(auth, shared), b"WebPush: info\0" + point(key) + theirs + b"\x01"))
    cek = mac(prk, b"Content-Encoding: aes128gcm\0\x01")[:16]
    nonce = mac(prk, b"Content-Encoding: nonce\0\x01")[:12]
    padded = AESGCM(cek).decrypt(nonce, body[86:], None).rstrip(b"\0")
    assert padded.endswith(b"\x02"), "no delimiter of a last record"
    return padded[:-1]


def path_of(subscription):
    return "/" + subscription["endpoint"].split("/", 3)[3]
