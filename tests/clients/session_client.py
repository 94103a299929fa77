"""Drives the session API with Qumulo's Python SDK and its command `qq`, unchanged (session.md, section 11)."""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from datetime import datetime, timedelta, timezone

from qumulo.lib.auth import Credentials
from qumulo.lib.identity_util import Identity
from qumulo.rest_client import RestClient

PASSWORD = "passw0rd!"
EVERY_PRIVILEGE = 15


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(status, error_class, action, *args, **named):
    try:
        action(*args, **named)
    except RestClient.Error as error:
        expect((error.status_code, error.error_class) == (status, error_class), (error.status_code, str(error)))
        return
    raise AssertionError(f"{args} {named} should have been refused")


def basics(connect, password):
    rc = connect()
    credentials = rc.login("admin", password)
    expect(credentials.bearer_token.startswith("1:"), "the form of a bearer")
    version = rc.version.version()
    expect(all(isinstance(version[k], str) for k in ("revision_id", "build_id", "flavor", "build_date")), version)
    expect(rc.version.numeric_version().count(".") == 2, rc.version.numeric_version())
    [node] = rc.cluster.list_nodes()
    expect(node["node_status"] == "online" and int(node["capacity_in_bytes"]) > 0, node)
    expect(rc.cluster.list_node(1) == node, "one node as in the list")
    expect(rc.cluster.get_cluster_conf()["cluster_name"], "the cluster has a name")

    expect(connect().version.version() == version, "the version needs no login")
    refused(401, "http_unauthorized_error", connect().cluster.list_nodes)
    refused(401, "http_unauthorized_error", connect().login, "admin", "wrong")
    refused(404, "http_not_found_error", rc.cluster.list_node, 9999)
    return rc


def self_service(rc, password):
    who = rc.auth.who_am_i()
    expect(who["name"] == "admin" and len(who["privileges"]) == EVERY_PRIVILEGE, who)
    expect(rc.auth.my_roles() == ["Administrators"], rc.auth.my_roles())
    rc.auth.change_password(password, "for a moment")
    rc.auth.change_password("for a moment", password)
    expect(rc.auth.find_identity(name="admin")["auth_id"] == "500", "the user admin is found")


def users_and_groups(rc):
    alice = rc.users.add_user("alice", "513", PASSWORD)
    number = rc.users.get_user_id("alice")
    expect(str(number) == alice["id"], (number, alice))
    expect(any(user["name"] == "alice" for user in rc.users.list_users()), "the list has her")
    expect(rc.users.list_user(number) == alice, "one as in the list")
    changed = rc.users.modify_user(number, "alice", "513", "1042", "/home/alice")
    expect((changed["uid"], changed["home_directory"]) == ("1042", "/home/alice"), changed)
    rc.users.set_user_password(number, PASSWORD + "!")
    rc.users.set_user_password(number, PASSWORD)

    group = rc.groups.add_group("g", None)
    rc.groups.group_add_member(group["id"], number)
    expect([m["name"] for m in rc.groups.group_get_members(group["id"])] == ["alice"], "she is a member")
    expect([g["name"] for g in rc.users.list_groups_for_user(number)] == ["Users", "g"], "of both groups")
    rc.groups.group_remove_member(group["id"], number)
    expect(any(g["name"] == "g" for g in rc.groups.list_groups()), "the list has the group")
    rc.groups.modify_group(group["id"], "h", 77)
    expect(rc.groups.list_group(group["id"])["gid"] == "77", "the group has its number")
    rc.groups.delete_group(group["id"])
    refused(404, "http_not_found_error", rc.groups.list_group, group["id"])
    expect(set(rc.roles.list_roles()) == {"Administrators", "Observers"}, "the fixed roles")
    return number


def access_tokens(connect, rc):
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    token = rc.access_tokens.create(Identity("local:alice"), expiration_time=tomorrow)
    holder = connect(Credentials(token.bearer_token))
    expect(holder.auth.who_am_i()["name"] == "alice", "it speaks for her")
    expect(rc.access_tokens.get(token.id).user["name"] == "alice", "its metadata says so")
    rc.access_tokens.create(Identity("alice"))
    rc.access_tokens.create(Identity("admin"))

    def count(pages):
        return [len(page.entries) for page in pages]

    expect(count(rc.access_tokens.list()) == [3], "all on one page")
    expect(count(rc.access_tokens.list(user=Identity("alice"))) == [2], "hers on one page")
    expect(count(rc.access_tokens.list(limit=1)) == [1, 1, 1], "a page each")
    expect(sum(count(rc.access_tokens.list(user=Identity("alice"), limit=1))) == 2, "hers, a page each")
    refused(409, "http_conflict_error", rc.access_tokens.create, Identity("alice"))

    rc.access_tokens.modify(token.id, enabled=False)
    refused(401, "http_unauthorized_error", holder.auth.who_am_i)
    rc.access_tokens.modify(token.id, enabled=True)
    expect(holder.auth.who_am_i()["name"] == "alice", "it works again")
    refused(403, "http_forbidden_error", holder.users.list_users)
    for page in rc.access_tokens.list():
        for entry in page.entries:
            rc.access_tokens.delete(entry.id)
    refused(401, "http_unauthorized_error", holder.auth.who_am_i)
    refused(404, "http_not_found_error", rc.access_tokens.get, token.id)


def command_line(host, port, password, directory):
    environment = {**os.environ, "HOME": directory}

    def qq(*arguments, store=None):
        options = ["--credentials-store", store] if store else []
        command = [os.path.join(os.path.dirname(sys.executable), "qq"), "--host", host, "--port", port, *options]
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
        expect(done.returncode == 0, (arguments, done.stdout, done.stderr))
        return done.stdout

    qq("login", "-u", "admin", "-p", password)
    expect("Basalt" in qq("version"), "qq version")
    expect(json.loads(qq("nodes_list"))[0]["id"] == 1, "qq nodes_list")
    expect("admin" in qq("who_am_i"), "qq who_am_i")
    store = os.path.join(directory, "token")
    made = json.loads(qq("auth_create_access_token", "alice", "--file", store))
    expect("alice" in qq("who_am_i", store=store), "qq who_am_i with a token")
    for arguments in ([], ["--json"], ["--user", "alice"]):
        expect("alice" in qq("auth_list_access_tokens", *arguments), arguments)
    expect(json.loads(qq("auth_get_access_token", made["id"]))["enabled"], "qq auth_get_access_token")
    expect(not json.loads(qq("auth_modify_access_token", made["id"], "-d"))["enabled"], "it is disabled")
    qq("auth_delete_access_token", made["id"])
    expect("alice" in qq("auth_list_users"), "qq auth_list_users")
    expect("revision_id" in qq("raw", "GET", "/v1/version"), "qq raw")
    qq("logout")


def plain_http(url, password):
    """As curl -k does it."""
    unverified = ssl._create_unverified_context()  # noqa: SLF001

    def call(path, headers, body=None):
        request = urllib.request.Request(url + path, data=body, headers=headers)
        with urllib.request.urlopen(request, context=unverified) as answer:
            return json.load(answer)

    login = json.dumps({"username": "admin", "password": password}).encode()
    bearer = call("/v1/session/login", {"Content-Type": "application/json"}, login)["bearer_token"]
    [node] = call("/v1/cluster/nodes/", {"Authorization": "Bearer " + bearer})
    expect(node["id"] == 1, node)


def main(url, credentials):
    with open(credentials + "/admin-password", encoding="ascii") as file:
        password = file.read().strip()
    host, port = url.removeprefix("https://").rstrip("/").rsplit(":", 1)

    def connect(*with_credentials):
        return RestClient(host, int(port), *with_credentials)

    rc = basics(connect, password)
    self_service(rc, password)
    alice = users_and_groups(rc)
    access_tokens(connect, rc)
    with tempfile.TemporaryDirectory() as directory:
        command_line(host, port, password, directory)
    plain_http(url, password)
    rc.users.delete_user(alice)
    refused(404, "http_not_found_error", rc.users.list_user, alice)


if __name__ == "__main__":
    main(*sys.argv[1:])
