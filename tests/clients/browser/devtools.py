"""A headless Chromium and its pages, over the DevTools protocol on a pipe: clicks, text, what is there, pictures."""

import base64
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import select
import ssl
import subprocess
import time

# Until something appears on a machine that may be very busy; reaching it is a failure.
LIMIT_SECONDS = 60


class Refused(AssertionError):
    """Chromium did not do what it was asked for."""


def key_pin(address, port):
    """The digest of the server's public key, by which Chromium takes its certificate and no other."""
    pem = ssl.get_server_certificate((address, port))
    key = subprocess.run(["openssl", "x509", "-pubkey", "-noout"], input=pem.encode(), capture_output=True, check=True)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout, capture_output=True, check=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


class Browser:
    """The process; its profile lies in `directory`, which is to be empty."""

    def __init__(self, directory, pin):
        self.numbers = itertools.count(1)
        self.waiting = b""
        self.events = []
        # Away from 3 and 4, where Chromium expects its ends.
        ours_in, its_out = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in os.pipe())
        its_in, ours_out = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in os.pipe())

        def ends():
            os.dup2(its_in, 3)
            os.dup2(its_out, 4)

        self.log = open(directory / "chromium.log", "wb")
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={directory / 'profile'}",
             # The tests run as root, in containers with a small /dev/shm and no graphics.
             "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--ignore-certificate-errors-spki-list={pin}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=ends, pass_fds=(3, 4))
        for end in (its_in, its_out):
            os.close(end)
        self.incoming, self.outgoing = ours_in, ours_out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def call(self, method, session=None, **parameters):
        """The answer; events that come meanwhile are kept."""
        number = next(self.numbers)
        request = {"id": number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        os.write(self.outgoing, json.dumps(request).encode() + b"\0")
        while True:
            message = self.receive()
            if message.get("id") == number:
                if "error" in message:
                    raise Refused(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def receive(self):
        while b"\0" not in self.waiting:
            if not select.select([self.incoming], [], [], LIMIT_SECONDS)[0]:
                raise AssertionError("Chromium does not answer; see chromium.log")
            part = os.read(self.incoming, 1 << 20)
            if not part:
                raise AssertionError("Chromium ended; see chromium.log")
            self.waiting += part
        message, _, self.waiting = self.waiting.partition(b"\0")
        return json.loads(message)

    def page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session)


class Page:
    """One tab. An element is named by an expression of JavaScript that finds it."""

    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def window(self, width, height):
        """In CSS pixels; narrow ones are phones."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression):
        """For an element, or a value that is not false, and returns the value."""
        expression = f"(async () => {{ const found = await {expression}; return found instanceof Node || found; }})()"
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
                value = result["result"].get("value")
                # Where there is no such element yet, an expression fails.
                if value and "exceptionDetails" not in result:
                    return value
            except Refused:
                # One page goes, the next comes.
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {expression}")
            time.sleep(0.05)

    def click(self, element):
        """As a mouse does, in the middle of it, once it stands still and nothing covers it."""
        place = self.wait(f"""(async () => {{
            const middle = () => {{
                const box = {element}.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }};
            const frame = () => new Promise(requestAnimationFrame);
            {element}.scrollIntoView({{block: "center", behavior: "instant"}});
            await frame();
            const [x, y] = middle();
            await frame();
            await frame();
            const stands = middle().join() === [x, y].join();
            return stands && {element}.contains(document.elementFromPoint(x, y)) && [x, y];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def fill(self, element, text):
        """Replaces what a field holds."""
        self.click(element)
        self.value(f"{element}.select()")
        self.call("Input.insertText", text=text)

    def picture(self, path):
        """Of what is in the window, once nothing moves any more."""
        self.value("""document.getAnimations()
            .filter((moving) => Number.isFinite(moving.effect.getComputedTiming().endTime))
            .forEach((moving) => moving.finish())""")
        data = self.call("Page.captureScreenshot")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def complaints(self):
        """What the page and the browser put into the console since the last time, and the addresses that were asked."""
        events, self.browser.events = self.browser.events, []
        found = []
        for event in events:
            what, about = event.get("method"), event.get("params", {})
            if what == "Log.entryAdded":
                found.append(about["entry"])
            elif what == "Runtime.exceptionThrown" or (
                    what == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert")):
                found.append(about)
        return found, [event["params"]["request"]["url"] for event in events
                       if event.get("method") == "Network.requestWillBeSent"]
