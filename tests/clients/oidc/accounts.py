"""Lets oidc-provider's service accounts in, and judges what each of them may do while keys come and go."""

import base64
import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SECRET = "s&:%+ x"
SCOPE = "basalt"


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Server:
    """HTTPS to one address; the answers' statuses are for the caller to judge."""

    def __init__(self, url, ca):
        self.url, self.tls = url, ssl.create_default_context(cafile=ca)

    def call(self, method, path, body=None, **headers):
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()


class Issuer(Server):
    def token(self, account):
        pair = ":".join(urllib.parse.quote_plus(part) for part in (account, SECRET))
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": SCOPE}).encode()
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
        status, text = self.call("POST", "/token", form, Authorization=basic)
        expect(status == 200, (account, status, text))
        return json.loads(text)["access_token"]

    def new_key(self, alg, keep=False):
        status, _ = self.call("POST", f"/test/keys?alg={alg}" + "&keep=true" * keep)
        expect(status == 200, "a new key")

    def settings(self, **other):
        """As oidc-provider publishes itself."""
        published = json.loads(self.call("GET", "/.well-known/openid-configuration")[1])
        return {
            "provisionerResourceID": "prov",
            "provisionerClientID": "administrator",
            "provisionerClientSecret": SECRET,
            "provisionerClientScope": SCOPE,
            "backendsResourceID": "back",
            "backendsClientID": "administrator",
            "backendsClientSecret": SECRET,
            "authorizationServerTokenURL": published["token_endpoint"],
            "authorizationServerJwkSetURL": published["jwks_uri"],
            **other,
        }


class Basalt(Server):
    def __init__(self, url, credentials):
        super().__init__(url, credentials + "/ca.pem")
        with open(credentials + "/token", encoding="ascii") as file:
            self.token = file.read().strip()

    def set(self, settings):
        body = json.dumps(settings).encode()
        _, text = self.call("POST", "/auth_server", body, Authorization="Bearer " + self.token)
        return json.loads(text)["status"]

    def allows(self, token):
        """The statuses of a reading and of a changing request."""
        bearer = {"Authorization": "Bearer " + token}
        read, _ = self.call("GET", "/volumes", **bearer)
        # Without any field: whoever is let in is told what is missing, with HTTP 200.
        changed, _ = self.call("POST", "/volumes", b"{}", **bearer)
        return read, changed


BOTH, READ, NEITHER, REFUSED = (200, 200), (200, 403), (403, 403), (401, 401)


def algorithm(token):
    header = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["alg"]


def wrong_settings(issuer, basalt):
    url = "authorizationServerTokenURL"
    for other, code in (
        ({"provisionerClientSecret": "wrong"}, "CreateProvisionerClientTokenFailed"),
        ({"provisionerClientScope": "forbidden"}, "CreateProvisionerClientTokenFailed"),
        ({url: issuer.url + "/none"}, "CreateProvisionerClientTokenFailed"),
        ({"provisionerClientID": "opaque"}, "DecryptProvisionerClientTokenFailed"),
        ({"provisionerClientID": "nobody"}, "ProvisionerClientUnauthorized"),
        ({"provisionerResourceID": "other"}, "ProvisionerClientUnauthorized"),
        ({"backendsClientSecret": "wrong"}, "CreateBackendsClientTokenFailed"),
        ({"backendsClientID": "opaque"}, "DecryptBackendsClientTokenFailed"),
        ({"backendsClientID": "observer"}, "BackendsClientUnauthorized"),
    ):
        found = basalt.set(issuer.settings(**other))
        expect(found == code, (other, found))


def roles(issuer, basalt, alg):
    expect(algorithm(issuer.token("administrator")) == alg, alg)
    for account, allowed in (
        ("administrator", BOTH),
        ("plain_roles", BOTH),
        ("observer", READ),
        ("elsewhere", NEITHER),
        ("nobody", NEITHER),
        ("opaque", REFUSED),
    ):
        found = basalt.allows(issuer.token(account))
        expect(found == allowed, (alg, account, found))
    head, claims, signature = issuer.token("administrator").split(".")
    other = issuer.token("observer").split(".")[2]
    expect(basalt.allows(f"{head}.{claims}.{other}") == REFUSED, "another token's signature")
    expect(basalt.allows(f"{head}.{claims}.") == REFUSED, "no signature")
    expect(basalt.allows(f"{head}.{claims}.{signature}") == BOTH, "its own signature")


def until_known(issuer, basalt):
    """The key set is fetched anew for a key that is not known, but not at every request."""
    deadline = time.monotonic() + 60
    while basalt.allows(issuer.token("administrator")) != BOTH:
        expect(time.monotonic() < deadline, "the new key counts")
        time.sleep(0.1)


def rotation(issuer, basalt):
    first = issuer.token("administrator")
    issuer.new_key("ES256", keep=True)
    until_known(issuer, basalt)
    roles(issuer, basalt, "ES256")
    expect(basalt.allows(first) == BOTH, "its key is still shown")
    second = issuer.token("administrator")
    issuer.new_key("RS256")
    until_known(issuer, basalt)
    roles(issuer, basalt, "RS256")
    for old in (first, second):
        expect(basalt.allows(old) == REFUSED, "its key is not shown any more")


def one_key(issuer, basalt):
    for alg in ("RS256", "ES256"):
        issuer.new_key(alg)
        pem = issuer.call("GET", "/test/key")[1].decode()
        settings = issuer.settings(authorizationServerPublicKey=pem)
        del settings["authorizationServerJwkSetURL"]
        found = basalt.set(settings)
        expect(found == "Success", (alg, found))
        roles(issuer, basalt, alg)


def main(url, credentials, certificate, key, *node_and_script):
    pipe = subprocess.PIPE
    # Leaving the block closes its standard input, which ends it.
    with subprocess.Popen([*node_and_script, certificate, key], stdin=pipe, stdout=pipe, text=True) as process:
        issuer = Issuer(process.stdout.readline().strip(), certificate)
        basalt = Basalt(url, credentials)
        expect(basalt.allows(issuer.token("administrator")) == REFUSED, "it is not configured")
        wrong_settings(issuer, basalt)
        expect(basalt.set(issuer.settings()) == "Success", "it is configured")
        expect(basalt.set(issuer.settings()) == "NoChange", "it is configured already")
        roles(issuer, basalt, "RS256")
        rotation(issuer, basalt)
        one_key(issuer, basalt)
        token = issuer.token("administrator")
        status, _ = basalt.call("DELETE", "/auth_server", Authorization="Bearer " + token)
        expect(status == 200, "its administrator ends it")
        expect(basalt.allows(token) == REFUSED, "it is not configured any more")


if __name__ == "__main__":
    main(*sys.argv[1:])
