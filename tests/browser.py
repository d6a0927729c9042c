"""A headless Chromium that tests drive by real input events, through the pipe of its DevTools protocol."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38}
KEYS |= {"ArrowRight": 39, "ArrowDown": 40}
CTRL, SHIFT = 2, 8
_LEFT = "target navigated", "context was destroyed", "Cannot find context"


def find_browser() -> str | None:
    """The first of the usual programs that is installed, or the one that ``$PVC_BROWSER`` names."""
    return os.environ.get("PVC_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class Left(AssertionError):
    """The page was left while it was asked something."""


class Page:
    """One page. ``errors`` is what its scripts failed with, and what its security policy refused."""

    def __init__(self, send: int, receive: int):
        self._send, self._receive, self._buffer, self._number = send, receive, b"", 0
        self._session: str | None = None
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to one command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]))
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["source"] == "security":
                self.errors.append(answer["params"]["entry"]["text"])
            if answer.get("id") == self._number:
                if any(words in answer.get("error", {}).get("message", "") for words in _LEFT):
                    raise Left(answer["error"]["message"])
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._receive], [], [], 200)[0], "the browser says nothing"
            part = os.read(self._receive, 1 << 16)
            assert part, "the browser went away"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, place: Path | str, width: int = 1200, height: int = 900) -> None:
        """Show a file, or what a URL names, and wait until it is loaded."""
        self.resize(width, height)
        self.call("Page.navigate", url=place if isinstance(place, str) else place.resolve().as_uri())
        self.until("document.readyState === 'complete' && document.URL !== 'about:blank'")

    def reload(self) -> None:
        """Load the page again, and wait until it is."""
        self.value("window.isOld = true")
        self.call("Page.reload")
        self.until("!window.isOld && document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def value(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 60, each: Callable[[], None] = lambda: None) -> None:
        """Wait until an expression is true; ``each`` is done before every look."""
        deadline = time.monotonic() + seconds
        while each() or not self._now(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def _now(self, expression: str) -> Any:
        try:
            return self.value(expression)
        except Left:  # a new page is coming: it is asked next time
            return None

    def mouse(self, kind: str, x: float, y: float, **rest: Any) -> None:
        """A mouse event at a place of the window: ``mouseMoved``, ``mousePressed`` or ``mouseReleased``."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **rest)

    def click(self, selector: str) -> None:
        """Click in the middle of the element."""
        x, y, width, height = self.box(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x + width / 2, y + height / 2, button="left", clickCount=1)

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Press the left button at the first point of the window, move over the others, and release it."""
        self.mouse("mouseMoved", *points[0])
        self.mouse("mousePressed", *points[0], button="left", buttons=1, clickCount=1)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, button="left", buttons=1)
        self.mouse("mouseReleased", *points[-1], button="left", clickCount=1)

    def touch(self, kind: str, points: Sequence[tuple[float, float]] = ()) -> None:
        """Fingers: ``touchStart``, ``touchMove`` or ``touchEnd``, with the places of all that are down afterwards."""
        places = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=places)

    def key(self, key: str, modifiers: int = 0, kinds: Sequence[str] = ("keyDown", "keyUp")) -> None:
        """Press and release a key, by the name that ``KeyboardEvent.key`` has for it."""
        code = KEYS.get(key) or ord(key.upper()[0])
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        for kind in kinds:
            said = text if kind == "keyDown" and not modifiers & CTRL else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=modifiers, **said
            )

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """x, y, width and height of an element in the window, after it has been scrolled into it."""
        element = f"document.querySelector({json.dumps(selector)})"
        rect = f"(({{x, y, width, height}}) => [x, y, width, height])({element}.getBoundingClientRect())"
        return tuple(self.value(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}}), {rect}"))

    def screenshot(self, file: Path, whole: bool = True) -> None:
        """A PNG of the whole page, or of the part that the window shows."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        file.write_bytes(base64.b64decode(data))


@contextmanager
def page(browser: str, profile: Path) -> Iterator[Page]:
    """A page of a browser that works in the folder ``profile`` and is gone afterwards."""
    (theirs_in, send), (receive, theirs_out) = os.pipe(), os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [browser, *options, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    # The protocol's pipes are the file descriptors 3 and 4, which a shell can make of any other.
    script = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", script, *command], pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(send, receive)
    finally:
        process.kill()
        process.wait(60)
        os.close(send)
        os.close(receive)
