#!/usr/bin/env python3
"""A thousand volumes made by eight clients at once while a ninth reads the list page by page. A page never shows a volume
twice nor skips one that was there before, and in the end every volume is there once. Prints what the slowest of a
hundred requests took; times are told, not judged.
    crowd.py URL CREDENTIALS_DIR [VOLUMES]"""

import http.client
import json
import pathlib
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

CLIENTS = 8
PAGE = 100


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Client:
    """One connection that stays."""

    def __init__(self, url, credentials):
        self.headers = {"Authorization": "Bearer " + (credentials / "token").read_text(encoding="ascii").strip()}
        tls = ssl.create_default_context(cafile=str(credentials / "ca.pem"))
        self.connection = http.client.HTTPSConnection(urllib.parse.urlsplit(url).netloc, context=tls, timeout=120)
        self.seconds = []

    def call(self, method, path, body=None):
        began = time.monotonic()
        self.connection.request(method, path, body=None if body is None else json.dumps(body), headers=self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        self.seconds.append(time.monotonic() - began)
        expect(answer.status == 200, (method, path, answer.status, text[:500]))
        return json.loads(text)

    def create(self, name):
        volume = str(uuid.uuid4())
        body = {"uuid": volume, "alias": name, "capacity": 1, "provisioningType": "THIN", "reservedSpacePercentage": 1}
        answer = self.call("POST", "/volumes", body)
        expect(answer["status"] == "Success", (name, answer))
        return volume

    def delete(self, volume):
        answer = self.call("DELETE", f"/volumes/{volume}")
        expect(answer["status"] == "Success", (volume, answer))

    def pages(self):
        """All volumes, page by page."""
        seen = []
        while True:
            after = f"&marker={seen[-1]}" if seen else ""
            page = [volume["uuid"] for volume in self.call("GET", f"/volumes?limit={PAGE}{after}")]
            expect(len(page) <= PAGE, "a page is longer than its limit")
            seen += page
            if len(page) < PAGE:
                return seen


class Crowd:
    """Clients that share out a list of work; the first error of any is everybody's."""

    def __init__(self, url, credentials):
        self.clients = [Client(url, credentials) for _ in range(CLIENTS)]
        self.lock = threading.Lock()
        self.done = []
        self.errors = []

    def run(self, work, each):
        """`each(client, item)` for every item; returns the results."""
        left = list(work)
        self.done = []

        def labour(client):
            try:
                while not self.errors:
                    with self.lock:
                        if not left:
                            return
                        item = left.pop()
                    result = each(client, item)
                    with self.lock:
                        self.done.append(result)
            except BaseException as error:  # whatever it is, the main thread raises it
                self.errors.append(error)

        threads = [threading.Thread(target=labour, args=(client,)) for client in self.clients]
        for thread in threads:
            thread.start()
        return threads

    def wait(self, threads):
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        return self.done

    def seconds(self):
        """Of all requests since the last time."""
        all_seconds = [seconds for client in self.clients for seconds in client.seconds]
        for client in self.clients:
            client.seconds = []
        return all_seconds


def p99(seconds):
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000


def main():
    url, credentials = sys.argv[1], pathlib.Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    crowd, reader = Crowd(url, credentials), Client(url, credentials)
    before = set(reader.pages())

    began = time.monotonic()
    makers = crowd.run((f"crowd-{number}" for number in range(count)), Client.create)
    rounds = 0
    while any(maker.is_alive() for maker in makers):
        with crowd.lock:
            there = set(crowd.done)
        listed = reader.pages()
        rounds += 1
        expect(len(listed) == len(set(listed)), "a volume is on two pages")
        expect(listed == sorted(listed), "pages are in another order than that of the UUIDs")
        expect(there | before <= set(listed), "a volume that was there is on no page")
    made = crowd.wait(makers)
    took, creating, reading = time.monotonic() - began, crowd.seconds(), reader.seconds
    expect(set(reader.pages()) == before | set(made), "the list is not what was made")
    expect(len(set(made)) == count, "two volumes have one UUID")

    crowd.wait(crowd.run(made, Client.delete))
    expect(set(reader.pages()) == before, "volumes are left behind")
    print(
        f"crowd: {count} volumes by {CLIENTS} clients in {took:.1f} s, POST /volumes p99 {p99(creating):.0f} ms, "
        f"DELETE p99 {p99(crowd.seconds()):.0f} ms; {rounds} readings of the whole list meanwhile, "
        f"GET /volumes?limit={PAGE} p99 {p99(reading):.0f} ms"
    )


main()
