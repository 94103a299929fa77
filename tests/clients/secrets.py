#!/usr/bin/env python3
"""Gives a server secrets of every kind, calls all that its API document lists, and looks for the secrets in all that comes
out: answers, metrics, the document itself, the server's log and what it keeps on its disk."""

import base64
import json
import pathlib
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
import zlib


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Server:
    def __init__(self, url, credentials):
        self.url, self.tls = url, ssl.create_default_context(cafile=str(credentials / "ca.pem"))
        self.bearer = (credentials / "token").read_text(encoding="ascii").strip()
        # What was answered where no secret belongs: (what was asked, the answer).
        self.answers = []

    def call(self, method, path, body=None, bearer=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {bearer or self.bearer}"}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def told(self, method, path, body):
        """The one answer that shows a secret."""
        status, text = self.call(method, path, body)
        expect(status in (200, 201), (method, path, status, text))
        return json.loads(text)

    def silent(self, method, path, body=None, bearer=None):
        status, text = self.call(method, path, body, bearer)
        self.answers.append((f"{method} {path}: {status}", text))
        return status


def dhhc(byte):
    """A secret for DH-HMAC-CHAP: 32 bytes and their CRC-32 (NVMe Base §8.3.4.5.8)."""
    key = bytes([byte]) * 32
    crc = zlib.crc32(key).to_bytes(4, "little")
    return f"DHHC-1:01:{base64.b64encode(key + crc).decode()}:"


def tls_key(byte):
    key = bytes([byte]) * 32
    crc = zlib.crc32(key).to_bytes(4, "little")
    return f"NVMeTLSkey-1:01:{base64.b64encode(key + crc).decode()}:"


AUTH_SERVER = {
    "provisionerResourceID": "p",
    "provisionerClientID": "pc",
    "provisionerClientSecret": "Marker-provisioner-client-secret",
    "backendsResourceID": "b",
    "backendsClientID": "bc",
    "backendsClientSecret": "Marker-backends-client-secret",
    # Nobody listens there: the refusal says so, and no more.
    "authorizationServerTokenURL": "https://127.0.0.1:1/token",
    "authorizationServerJwkSetURL": "https://127.0.0.1:1/jwks",
}


def make_secrets(server):
    """Returns each by its name."""
    user = {"name": "marked", "primary_group": "513", "password": "Marker-first-password"}
    expect(server.silent("POST", "/v1/users", user) == 200, "a user")
    login = server.told("POST", "/v1/session/login", {"username": "marked", "password": user["password"]})
    session = login["bearer_token"]
    changed = {"old_password": user["password"], "new_password": "Marker-second-password"}
    expect(server.silent("POST", "/v1/session/change-password", changed, session) == 200, "another password")
    wrong = {"username": "marked", "password": "Marker-wrong-password"}
    expect(server.silent("POST", "/v1/session/login", wrong) == 401, "a wrong password")
    expect(server.silent("GET", "/volumes", bearer="Marker-wrong-bearer") == 401, "a wrong bearer")
    access = server.told("POST", "/v1/auth/access-tokens", {"user": {"name": "marked"}})
    issued = server.told("POST", "/basalt/v1/tokens", {"role": "admin", "name": "service"})
    invite = server.told("POST", "/basalt/v1/invites", {})

    for host in ("own", "made"):
        probe = {"clientType": "Agent", "duration": 0, "hostId": host, "name": host, "version": "1",
                 "hostNqn": "nqn.2014-08.org.nvmexpress:" + host}
        expect(server.silent("POST", "/host_probe", probe) == 200, "a host")
    own = {"hostSecret": dhhc(0x5A), "controllerSecret": dhhc(0xA5)}
    expect(server.silent("PUT", "/basalt/v1/hosts/own/secrets", own) == 200, "a host's secrets")
    expect(server.silent("PUT", "/basalt/v1/hosts/own/tls-keys", {"key": tls_key(0x3C)}) == 200, "a host's key")
    made = server.told("PUT", "/basalt/v1/hosts/made/secrets", {"generate": True, "twoWay": True})
    made_key = server.told("PUT", "/basalt/v1/hosts/made/tls-keys", {"generate": True})
    server.silent("POST", "/auth_server", AUTH_SERVER)
    server.silent("POST", "/license", {"license": "Marker.license.token"})
    return {
        "the administrator's token": server.bearer,
        "a first password": user["password"],
        "a changed password": changed["new_password"],
        "a wrong password": wrong["password"],
        "a wrong bearer": "Marker-wrong-bearer",
        "a session's bearer": session,
        "an access token": access["bearer_token"],
        "an issued token": issued["token"],
        "an invite": invite["invite"],
        "a host's own secret": own["hostSecret"],
        "a controller's own secret": own["controllerSecret"],
        "a host's own TLS key": tls_key(0x3C),
        "a host's generated secret": made["hostSecret"],
        "a controller's generated secret": made["controllerSecret"],
        "a host's generated TLS key": made_key["key"],
        "the provisioner's client secret": AUTH_SERVER["provisionerClientSecret"],
        "the backends' client secret": AUTH_SERVER["backendsClientSecret"],
    }


# What shows a secret by its purpose, or ends the credential of these requests.
NOT_CALLED = {
    ("POST", "/basalt/v1/tokens:rotate"),
    ("POST", "/basalt/v1/tokens"),
    ("POST", "/basalt/v1/invites"),
    ("POST", "/v1/session/login"),
    ("POST", "/v1/auth/access-tokens"),
    # It opens any file of this machine.
    ("POST", "/basalt/v1/drives"),
}

# Wrong in every field that holds a secret, so that the refusals are about them.
BODIES = (
    {"password": ["Marker-wrong-password"], "new_password": ["Marker-wrong-password"], "old_password": 1,
     "hostSecret": "Marker-wrong-password", "key": "Marker-wrong-password", "secret": ["Marker-wrong-password"],
     "provisionerClientSecret": ["Marker-wrong-password"], "license": ["Marker-wrong-password"],
     "invite": "Marker-wrong-password"},
    {"name": "x", "primary_group": "513", "password": "short", "hostSecret": dhhc(0x5A)[:-2], "key": tls_key(0x3C)[:-2]},
)


def call_everything(server):
    document = json.loads(server.call("GET", "/openapi.json")[1])
    for path, item in document["paths"].items():
        for method in map(str.upper, item):
            if (method, path) in NOT_CALLED:
                continue
            for identifier in ("own", "made"):
                asked = path.replace("{tenant}", "0").replace("{id}", identifier)
                asked = asked.replace("{alias}", "a").replace("{user}", "1000").replace("{file}", "page.js")
                for body in BODIES if method in ("POST", "PUT", "PATCH") else (None,):
                    server.silent(method, asked, body)
    server.silent("GET", "/v1/auth/access-tokens")
    server.silent("GET", "/basalt/v1/tokens")


def forms(secret):
    """How it might be written: as it is, its bytes in hexadecimal and base64, and what a secret's text form encodes."""
    data = secret.encode()
    found = {data, data.hex().encode(), base64.b64encode(data)}
    parts = secret.split(":")
    if len(parts) == 4:
        key = base64.b64decode(parts[2])[:-4]
        found |= {parts[2].encode(), key, key.hex().encode()}
    return found


def main(url, credentials, data_directory, log):
    credentials = pathlib.Path(credentials)
    server = Server(url, credentials)
    secrets = make_secrets(server)
    secrets["the user admin's password"] = (credentials / "admin-password").read_text(encoding="ascii").strip()
    call_everything(server)
    places = [(asked, text.encode()) for asked, text in server.answers]
    places.append(("the log", pathlib.Path(log).read_bytes()))
    kept = [path for path in pathlib.Path(data_directory).rglob("*") if path.is_file()]
    # The directory of credentials is where secrets are to be found.
    kept = [path for path in kept if credentials.resolve() not in path.resolve().parents]
    expect(kept, "the server keeps files")
    places += [(str(path), path.read_bytes()) for path in kept]
    expect(b"answered" in dict(places)["the log"], "the log tells of every request")
    for name, secret in secrets.items():
        for form in forms(secret):
            for place, content in places:
                expect(form not in content, f"{name} is in {place}")
    print(f"secrets: none of {len(secrets)} in {len(server.answers)} answers, the log and {len(kept)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])
