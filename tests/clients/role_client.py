"""Drives the role API with k2hr3client, unchanged, and as its command line does, with curl (role.md, section 6)."""

import json
import logging
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request

TENANT = "demo"
CURL = ["curl", "--silent", "--show-error", "--insecure", "--max-time", "60"]


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def yrn(kind, name):
    return f"yrn:yahoo:::{TENANT}:{kind}:{name}"


def call(url, bearer, method, path, body=None):
    """As the administrator's scripts do it."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + bearer}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers=headers, method=method)
    unverified = ssl._create_unverified_context()  # noqa: SLF001
    with urllib.request.urlopen(request, context=unverified) as answer:
        return json.load(answer)


def make_tenant(url, bearer):
    wanted = {"name": TENANT, "capacity": 1, "totalIOPS": 0, "totalBW": 0}
    made = call(url, bearer, "POST", "/tenants", wanted)
    expect(made["status"] == "Success", made)
    return made["tenantId"]


def python_client(url, bearer, password):
    # It makes a directory for its log where it is imported.
    from k2hr3client.http import K2hr3Http
    from k2hr3client.list import K2hr3List
    from k2hr3client.policy import K2hr3Policy
    from k2hr3client.resource import K2hr3Resource
    from k2hr3client.role import K2hr3Role, K2hr3RoleHost, K2hr3TokenType
    from k2hr3client.tenant import K2hr3Tenant
    from k2hr3client.token import K2hr3AuthType, K2hr3RoleToken, K2hr3RoleTokenList, K2hr3Token
    from k2hr3client.userdata import K2hr3Userdata
    from k2hr3client.version import K2hr3Version

    # It tells of refusals on standard error, also of those that are wanted here.
    logging.disable(logging.CRITICAL)

    def did(method, request):
        expect(getattr(K2hr3Http(url), method)(request), (method, request))
        return request

    version = K2hr3Version()
    version.get()
    expect("v1" in str(did("GET", version).resp.body), "the versions")
    version = K2hr3Version("v1")
    version.get()
    expect("/v1/role" in str(did("GET", version).resp.body), "the paths")

    token = did("POST", K2hr3Token(TENANT, bearer).create()).token
    expect(token, "a token from a bearer")
    for method in ("POST", "PUT"):
        by_password = K2hr3Token(TENANT, None, auth_type=K2hr3AuthType.CREDENTIAL)
        expect(did(method, by_password.create("admin", password)).token, "a token from a password")
    did("GET", K2hr3Token(TENANT, token).show())
    did("HEAD", K2hr3Token(TENANT, token).validate())

    reading = ["yrn:yahoo::::action:read"]
    for method in ("POST", "PUT"):
        keys = {"k": "v"}
        resource = K2hr3Resource(token)
        did(method, resource.create_conf_resource(name="x", data_type="string", resource_data="d", keys=keys, alias=[]))
        did(method, K2hr3Policy(token).create("p", "allow", reading, [yrn("resource", "x")], None, []))
        did(method, K2hr3Role(token).create("r1", [yrn("policy", "p")], []))
        host = K2hr3RoleHost("h1", "0", "c", "e", "t", "10.0.0.1", "10.0.0.2")
        did(method, K2hr3Role(token).add_member("r1", host, False, False))

    role_token = did("GET", K2hr3RoleToken(token, "r1", 0)).token
    listed = did("GET", K2hr3RoleTokenList(token, "r1", True))
    path = listed.registerpath(role_token)
    by_token = K2hr3Role(role_token, K2hr3TokenType.ROLE_TOKEN)
    did("PUT", by_token.add_member_with_roletoken(yrn("role", "r1"), "0", "c", "e", "t", None, None))
    shown = json.loads(did("GET", K2hr3Role(token).get("r1", expand=False)).resp.body)["role"]
    expect(shown["policies"] == [yrn("policy", "p")], shown)
    expect(shown["hosts"] == {"hostnames": ["h1 * c  t 10.0.0.1 10.0.0.2"], "ips": ["127.0.0.1 * c  t"]}, shown)
    did("GET", K2hr3Role(token).get_token_list("r1"))
    did("HEAD", K2hr3Role(token).validate_role("r1"))

    did("GET", K2hr3Policy(token).get("p", None))
    did("HEAD", K2hr3Policy(None).validate("p", TENANT, "x", "read"))
    expect(not K2hr3Http(url).HEAD(K2hr3Policy(None).validate("p", TENANT, "x", "write")), "writing is not allowed")
    did("GET", K2hr3Tenant(token).get_tenant_list(expand=True))
    expect("r1" in str(did("GET", K2hr3List(token, "role").get()).resp.body), "the role is listed")
    script = did("GET", K2hr3Userdata(path).provides_userdata_script()).resp.body
    expect(role_token in script and "multipart/mixed" in script, script)

    # What it calls DELETE is a HEAD, and must not delete.
    did("DELETE", K2hr3Role(token).delete("r1"))
    did("HEAD", K2hr3Role(token).validate_role("r1"))


def command_line(url, bearer, password):
    """The requests of k2hr3_cli, with its headers: an empty body on POST, `-X HEAD`, lists as text."""

    def curl(status, method, path, token=None, body=None):
        arguments = ["-X", method, "-H", "Content-Type: application/json"]
        if token is not None:
            arguments += ["-H", "x-auth-token: " + token]
        if body is not None:
            arguments += ["-d", body]
        command = [*CURL, *arguments, "-w", "\n%{http_code}", url + path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        expect(done.returncode == 0, (method, path, done.stderr))
        text, code = done.stdout.rsplit("\n", 1)
        expect(int(code) == status, (method, path, code, text))
        answer = json.loads(text) if text.startswith("{") else {}
        expect(not answer or "result" not in answer or answer["result"] == (status < 300), answer)
        return answer

    curl(200, "GET", "/")
    curl(200, "GET", "/v1")
    credentials = {"username": "admin", "password": password}
    unscoped = json.dumps({"auth": {"passwordCredentials": credentials}})
    scoped = json.dumps({"auth": {"tenantName": TENANT, "passwordCredentials": credentials}})
    tokens = "/v1/user/tokens"
    utoken = curl(201, "POST", tokens, body=unscoped)
    expect(utoken["scoped"] is False, utoken)
    expect(curl(201, "POST", tokens, body=scoped)["scoped"] is True, "create token_cred")
    in_tenant = json.dumps({"auth": {"tenantName": TENANT}})
    token = "U=" + curl(201, "POST", tokens, "U=" + utoken["token"], in_tenant)["token"]
    expect(curl(201, "POST", tokens, "U=" + bearer, "")["scoped"] is False, "create utoken_optoken")
    expect(curl(200, "GET", tokens, token)["tenants"][0]["name"] == TENANT, "token show")
    curl(204, "HEAD", tokens, token)
    curl(401, "HEAD", tokens, "U=wrong")

    curl(201, "PUT", "/v1/role?name=r2&policies=" + yrn("policy", "p") + "&alias=", token)
    curl(201, "PUT", "/v1/role?name=r2&policies=&alias=" + yrn("role", "r1"), token)
    shown = curl(200, "GET", "/v1/role/r2?expand=true", token)["role"]
    expect(shown["policies"] == [yrn("policy", "p")], shown)
    curl(201, "PUT", "/v1/role/r2?host=10.0.0.9&port=0&cuk=c&extra=e&tag=t", token)
    curl(204, "DELETE", "/v1/role/r2?host=10.0.0.9&port=0&cuk=c", token)
    made = curl(200, "GET", "/v1/role/token/r2?expire=0", token)
    expect(made["token"] in curl(200, "GET", "/v1/role/token/list/r2?expand=true", token)["tokens"], "token show")
    curl(204, "HEAD", "/v1/role/" + yrn("role", "r2"), "R=" + made["token"])
    # Only Cloud-Init gets the script.
    curl(400, "GET", "/v1/userdata/" + made["registerpath"])
    curl(204, "DELETE", "/v1/role/token/" + made["token"], token)
    curl(401, "HEAD", "/v1/role/" + yrn("role", "r2"), "R=" + made["token"])
    curl(200, "GET", "/v1/list/role?expand=true", token)
    curl(200, "GET", "/v1/tenant?expand=true", token)
    for kind in ("role/r2", "role/r1", "policy/p", "resource/x"):
        curl(204, "DELETE", "/v1/" + kind, token)
    curl(403, "HEAD", "/v1/role/r1", token)
    curl(404, "GET", "/v1/resource/x", token)


def main(url, credentials):
    with open(credentials + "/admin-password", encoding="ascii") as file:
        password = file.read().strip()
    url = url.rstrip("/")
    login = {"username": "admin", "password": password}
    bearer = call(url, "", "POST", "/v1/session/login", login)["bearer_token"]
    tenant = make_tenant(url, bearer)
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        python_client(url, bearer, password)
        os.chdir("/")
    command_line(url, bearer, password)
    gone = call(url, bearer, "DELETE", "/tenants/" + tenant)
    expect(gone["status"] == "Success", gone)


if __name__ == "__main__":
    main(*sys.argv[1:])
