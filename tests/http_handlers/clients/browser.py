"""Chromium without a window, driven over a pair of pipes by its own debugging protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NOVNC = Path("/usr/share/novnc")
CHROMIUM = shutil.which("chromium")
SECONDS = 60.0
HAND_OVER = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""  # the browser speaks on the descriptors 3 and 4
PAGE = """<!DOCTYPE html><html><head><style>body {margin: 0; background: #123456}</style></head>
<body><div id="screen" style="width: 1000px; height: 700px"></div>
<script type="module">
import RFB from "/novnc/core/rfb.js";
window.connect = (url, protocols) => {
  window.events = [];
  const rfb = window.rfb = new RFB(document.getElementById("screen"), url, {wsProtocols: protocols});
  for (const name of ["connect", "disconnect", "securityfailure", "credentialsrequired", "desktopname"])
    rfb.addEventListener(name, (event) => window.events.push([name, event.detail]));
};
window.ready = true;
</script></body></html>
"""


class Browser:
    """A page, and what a person does with it."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, answers: int) -> None:
        self._process = process
        self._to, self._answers = os.fdopen(to, "wb", buffering=0), os.fdopen(answers, "rb")
        self._buffer = b""
        self._number = 0
        self._session = ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Emulation.setDeviceMetricsOverride", width=1100, height=800, deviceScaleFactor=1, mobile=False)

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)
        self.wait("window.ready === true")

    def run(self, script: str) -> Any:
        """What an expression, or the promise that it is, comes to."""
        found = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Come back once the condition holds; the page looks at each of its frames."""
        script = (
            "new Promise((done, failed) => { const until = Date.now() + %d; const look = () => (%s) ? done(true) :"
            " Date.now() > until ? failed(new Error('never: ' + JSON.stringify(window.events))) :"
            " setTimeout(look, 20); look(); })"
        )
        assert self.run(script % (SECONDS * 1000, condition)) is True

    def type(self, text: str) -> None:
        """Press the keys of a text on the keyboard."""
        for character in text:
            key, code = ("Enter", 13) if character == "\n" else (character, ord(character.upper()))
            sent = {"key": key, "text": "\r" if character == "\n" else character, "windowsVirtualKeyCode": code}
            if character.isalpha():
                sent["code"] = f"Key{character.upper()}"
            elif character in " \n":
                sent["code"] = {" ": "Space", "\n": "Enter"}[character]
            self._ask("Input.dispatchKeyEvent", type="keyDown", **sent)
            self._ask("Input.dispatchKeyEvent", type="keyUp", **sent)

    def picture(self, selector: str) -> bytes:
        """The pixels of an element, as they are on the screen, as a PNG."""
        clip = self.run(
            f"(() => {{ const it = document.querySelector({selector!r}).getBoundingClientRect();"
            " return {x: it.x, y: it.y, width: it.width, height: it.height, scale: 1}; })()"
        )
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png", clip=clip)["data"])

    def close(self) -> None:
        self._to.close()
        self._answers.close()

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        self._to.write(json.dumps(asked).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._answers.fileno(), 1 << 16)
            assert data, f"the browser has ended: {self._process.poll()}"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own profile, ended at the latest when nothing may take so long."""
    assert CHROMIUM is not None
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    with tempfile.TemporaryDirectory(prefix="xapi-chromium-", ignore_cleanup_errors=True) as profile:
        command = [
            *(sys.executable, "-c", HAND_OVER, str(theirs_in), str(theirs_out), CHROMIUM, "--headless", "--no-sandbox"),
            *("--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--no-first-run"),
            *(f"--user-data-dir={profile}", "--remote-debugging-pipe", "--disable-background-networking"),
        ]
        process = subprocess.Popen(
            command,
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        guard = threading.Timer(4 * SECONDS, process.kill)
        guard.daemon = True
        guard.start()
        browser = None
        try:
            browser = Browser(process, ours_out, ours_in)
            yield browser
        finally:
            guard.cancel()
            process.terminate()
            process.wait(SECONDS)
            if browser is not None:
                browser.close()


class _Pages(SimpleHTTPRequestHandler):
    """Our one page, and noVNC's own files below /novnc."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/novnc"))

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def page() -> Iterator[str]:
    """The address of a page with noVNC in it, on a server that has nothing to do with the toolstack."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=str(NOVNC)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
