"""``mamltui serve``: who gets the app in a browser, and what can be done there."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pyte
import pytest
from PIL import Image, ImageChops

from mamltui.cli import main
from mamltui.errors import ExitCode
from mamltui.profiles import Profile
from mamltui.runs import RunFolder

SECONDS = 60
TITLES = 18
"""Pixels of the first line."""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    run = RunFolder.create(Profile(name="served"), tmp_path / "runs")
    run.update(state="finished")
    run.release()
    return tmp_path / "runs"


@contextlib.contextmanager
def served(runs: Path, *options: str) -> Iterator[str]:
    """The address of a server, which is ended at last."""
    environment = os.environ | {"MAMLTUI_STATE_DIR": str(runs.parent / "state")}
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mamltui",
            "serve",
            "--port",
            "0",
            "--runs-dir",
            str(runs),
            *options,
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=runs.parent,
    ) as server:
        try:
            assert server.stderr is not None
            word, address = server.stderr.readline().split()
            assert word == "Open"
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(SECONDS)


class Browser:
    """What a browser does: requests with cookies, and a terminal at the end of a WebSocket."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session, self.address = session, address
        self.origin = f"http://{urlsplit(address).netloc}"
        self.screen = pyte.Screen(100, 30)
        self._stream = pyte.ByteStream(self.screen)
        self.socket: Any = None

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        for _ in range(100):  # until the server listens
            try:
                return await self.session.get(
                    self.origin + path, headers=headers, allow_redirects=False
                )
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
        raise AssertionError("nobody listens")

    async def open(self) -> None:
        parts = urlsplit(self.address)
        moved = await self.get(f"{parts.path}?{parts.query}")
        assert moved.status == 303 and moved.headers["Location"] == "/"
        self.socket = await self.session.ws_connect(
            f"{self.origin}/ws?width=100&height=30", headers={"Origin": self.origin}
        )

    async def until(self, *words: str) -> str:
        """What is on the screen, as soon as all of the words are."""
        limit = time.monotonic() + SECONDS
        while not all(word in self.text for word in words):
            message = await self.socket.receive(max(0.01, limit - time.monotonic()))
            assert message.type is aiohttp.WSMsgType.BINARY, self.text
            self._stream.feed(message.data)
        return self.text

    async def press(self, keys: str) -> None:
        await self.socket.send_json(["stdin", keys])

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)


async def test_the_app_is_for_those_who_know_the_token_and_only_reads(runs: Path) -> None:
    before = sorted(path.relative_to(runs) for path in runs.rglob("*"))
    # Cookies of an address of numbers: what browsers do and this client alone does not.
    jar = aiohttp.CookieJar(unsafe=True)
    with served(runs) as address:
        assert urlsplit(address).hostname == "127.0.0.1"
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            browser = Browser(session, address)
            for path in ("/", "/?token=guessed", "/ws", "/static/js/textual.js"):
                refused = await browser.get(path)
                assert refused.status == 403, path
                assert "mamltui serve" in await refused.text()
            await browser.open()
            page = await browser.get("/")
            text = await page.text()
            assert page.status == 200 and "textual.js" in text and "keyboard.focus()" in text
            assert "default-src 'self'" in page.headers["Content-Security-Policy"]
            assert (await browser.get("/", Host="evil.example")).status == 403
            assert (await browser.get("/ws", Origin="http://evil.example")).status == 403
            shown = await browser.until("read only", "served-")
            assert "Run" not in shown.splitlines()[-1]  # keys that change are not offered
            await browser.press("l")
            await browser.until("›  served-", "state")
            await browser.press("D")
            await browser.press("r")
            await browser.press("2")
            assert "Remove" not in await browser.until("Nothing is open")
    assert sorted(path.relative_to(runs) for path in runs.rglob("*")) == before
    assert not (runs.parent / "state").exists()


async def test_changes_can_be_allowed(runs: Path) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    with served(runs, "--allow-changes", "--token", "long enough") as address:
        assert address.endswith("token=long%20enough")
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            browser = Browser(session, address)
            await browser.open()
            await browser.until("served-", "Run")
            await browser.press("l")
            await browser.until("›  served-", "state")
            await browser.press("D")
            await browser.until("Remove served-")


def test_what_cannot_be_served_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["serve", "--token", "short"]) == ExitCode.USAGE
    assert "at least 8 characters" in capsys.readouterr().err
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port]) == ExitCode.FAILURE
    assert "--port 0 takes a free one" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "mamltui.cli.web")
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    assert main(["serve"]) == ExitCode.USAGE
    assert "pip install 'mamltui[serve]'" in capsys.readouterr().err


class Chromium:
    """A headless Chromium, driven by its DevTools protocol."""

    def __init__(self, session: aiohttp.ClientSession, socket: Any) -> None:
        self.session, self.socket, self._calls = session, socket, 0
        self.fetched: list[str] = []
        """The hosts that answered a request of the page."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        await self.socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            told = await self.socket.receive_json(timeout=SECONDS)
            if told.get("method") == "Network.responseReceived":
                self.fetched.append(urlsplit(told["params"]["response"]["url"]).netloc)
            if told.get("id") == self._calls:
                return dict(told.get("result", {}))

    async def press(self, key: str) -> None:
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)

    async def picture(self) -> Image.Image:
        """The page; black while there is none, as between two of them."""
        content = (await self.call("Page.captureScreenshot")).get("data")
        if content is None:
            return Image.new("L", (1, 1))
        return Image.open(io.BytesIO(base64.b64decode(content))).convert("L")

    async def drawn(self, but: Image.Image | None = None) -> Image.Image:
        """The page, as soon as text is on it, and another title lit than in a picture before."""
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit:
            picture = await self.picture()
            titles = (0, 0, picture.width, TITLES)  # what is below fills later
            if sum(picture.histogram()[128:]) > 5000 and (
                but is None
                or ImageChops.difference(picture.crop(titles), but.crop(titles)).getbbox()
            ):
                return picture
            await asyncio.sleep(0.3)
        raise AssertionError("the page stays as it is")


@contextlib.asynccontextmanager
async def chromium(program: str, profile: Path) -> AsyncIterator[Chromium]:
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    with subprocess.Popen(
        [program, *options, f"--user-data-dir={profile}", "--window-size=1280,800", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            port_file = profile / "DevToolsActivePort"
            limit = time.monotonic() + SECONDS
            while not (port_file.exists() and "\n" in port_file.read_text()):
                assert time.monotonic() < limit
                await asyncio.sleep(0.1)
            port = port_file.read_text().split()[0]
            async with aiohttp.ClientSession() as session:
                answer = await session.get(f"http://127.0.0.1:{port}/json")
                (page,) = (each for each in await answer.json() if each["type"] == "page")
                url = page["webSocketDebuggerUrl"]
                async with session.ws_connect(url, max_msg_size=0) as socket:
                    yield Chromium(session, socket)
        finally:
            process.kill()


@pytest.mark.long
async def test_chromium_draws_the_app_and_its_keys_and_clicks_arrive(
    runs: Path, tmp_path: Path
) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium here")
    with served(runs) as address:
        async with chromium(program, tmp_path / "chromium") as browser:
            await browser.call("Network.enable")
            await browser.call("Page.navigate", url=address)
            home = await browser.drawn()
            await browser.press("3")  # without a click before
            episode = await browser.drawn(but=home)
            for kind in ("mousePressed", "mouseReleased"):
                await browser.call(
                    "Input.dispatchMouseEvent", type=kind, x=115, y=9, button="left", clickCount=1
                )
            train = await browser.drawn(but=episode)  # the click was on its title
            await browser.press("1")
            await browser.drawn(but=train)
            where = await browser.call("Runtime.evaluate", expression="location.href")
            host = urlsplit(address).netloc
            assert where["result"]["value"] == f"http://{host}/"  # without the token
            assert {*browser.fetched} <= {host}
