"""Debian's Chromium, headless, driven through its DevTools pipe: no package, no port, no download."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 30.0  # for any one answer


def executable() -> str | None:
    """The browser on this machine; None where there is none."""
    return os.environ.get("MONOCHORD_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page. `messages` are the events of the page so far; a context that ends the process."""

    def __init__(self, path: str):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        options = [
            "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars",
            f"--user-data-dir={self._profile.name}",
        ]  # fmt: skip
        # the browser reads commands from descriptor 3 and answers on 4; a shell puts the pipes there
        shell = f'exec 3<&{theirs_in} 4>&{theirs_out} && exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", path, *options, "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._last, self._session = b"", 0, None
        self.messages: list[dict] = []
        targets = self("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self._out)
        os.close(self._in)
        self._process.kill()
        self._process.wait(SECONDS)
        self._profile.cleanup()

    def __call__(self, method: str, **parameters) -> dict:
        """One command and its result; an error of the browser is raised."""
        self._last += 1
        session = {"sessionId": self._session} if self._session else {}
        command = {"id": self._last, "method": method, "params": parameters, **session}
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._last:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.messages.append(message)

    def _read(self) -> dict:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], SECONDS)[0]:
                raise TimeoutError("the browser did not answer")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self._buffer += part
        first, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(first)

    def open(self, path: Path, width: int = 820, height: int = 900, scheme: str = "light") -> None:
        """Load a file at a width, with a preferred colour scheme, and wait until it is there."""
        self.messages.clear()
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        mobile = width < 500
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self("Page.navigate", url=path.as_uri())
        until = time.monotonic() + SECONDS
        while not any(message.get("method") == "Page.loadEventFired" for message in self.messages):
            if time.monotonic() > until:
                raise TimeoutError("the page did not load")
            self.messages.append(self._read())

    def run(self, expression: str):
        """The value of a JavaScript expression."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, and what the page's policy refused."""
        found = []
        for message in self.messages:
            method, parameters = message.get("method"), message.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"].get("text")))
            if method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
            if method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Addresses that were asked for."""
        return [
            message["params"]["request"]["url"]
            for message in self.messages
            if message.get("method") == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """A picture of the whole page, or of what is in view."""
        answer = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole, fromSurface=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self("Page.printToPDF", printBackground=False)["data"])
