"""A web server for the app: on the loopback interface alone, for those who know a token.

``textual-serve`` runs the app once for each browser and connects both by a WebSocket. Every
request has to carry the token, at first in the address and then in a cookie. The host that the
browser names, and the page that opens the WebSocket, have to be this server: another site whose
name leads to 127.0.0.1 gets nothing.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from aiohttp import web
from textual_serve.server import Server

from mamltui.errors import MamltuiError, UsageError

HOST = "127.0.0.1"
COOKIE = "mamltui-token"
SHORTEST_TOKEN = 8
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws://{host}"
)
"""What a page may load: nothing from elsewhere (textual-serve's asks for a font of Google's)."""
REFUSED = "This address needs the token that mamltui serve printed: open the address it printed.\n"

FOCUS = """<script>
new MutationObserver((_changes, observer) => {
  const keyboard = document.querySelector(".xterm-helper-textarea");
  if (keyboard) { keyboard.focus(); observer.disconnect(); }
}).observe(document.body, {childList: true, subtree: true});
</script>
"""
"""Gives the terminal the keyboard as soon as it is there; else one would have to click it first."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AppServer(Server):
    """Serves ``command`` to browsers that know ``token``."""

    def __init__(self, command: str, port: int, token: str) -> None:
        super().__init__(command, host=HOST, port=port, title="mamltui")
        self._token = token
        self._headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY.format(host=f"{HOST}:{port}"),
            "Referrer-Policy": "no-referrer",
            "X-Frame-Options": "DENY",
        }

    @property
    def address(self) -> str:
        """What a person opens."""
        return f"{self.public_url}/?token={quote(self._token, safe='')}"

    def initialize_logging(self) -> None:
        """What the server says of itself is for its developers, but for errors."""
        logging.basicConfig(level="ERROR")

    async def on_startup(self, app: web.Application) -> None:
        """The address has been printed already, with its token."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        return app

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page with the terminal."""
        page = await super().handle_index(request)
        assert isinstance(page, web.Response) and page.text is not None
        page.text = page.text.replace("</body>", f"{FOCUS}</body>")
        return page

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            host, origin = f"{HOST}:{self.port}", request.headers.get("Origin")
            is_ours = request.host == host and origin in (None, f"http://{host}")
            given = request.query.get("token") or request.cookies.get(COOKIE, "")
            if not is_ours or not hmac.compare_digest(given.encode(), self._token.encode()):
                return web.Response(status=403, text=REFUSED, headers=self._headers)
            if "token" in request.query and request.path == "/":
                # The token leaves the address, and so the history of the browser.
                moved = web.Response(status=303, headers={**self._headers, "Location": "/"})
                moved.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
                return moved
            response = await handler(request)
            if not response.prepared:
                response.headers.update(self._headers)
            return response

        return guard


def serve_app(command: str, *, port: int, token: str, notify: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        command: what is run for each browser.
        port: 0 takes a free one.
        token: empty: a random one.

    Raises:
        UsageError: the token is short.
        MamltuiError: the port is taken.
    """
    if token and len(token) < SHORTEST_TOKEN:
        raise UsageError(f"a token has at least {SHORTEST_TOKEN} characters", where="--token")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise MamltuiError(
                f"the port cannot be taken: {error.strerror}",
                where=f"--port {port}",
                hint="--port 0 takes a free one.",
            ) from error
        port = probe.getsockname()[1]
    server = AppServer(command, port, token or secrets.token_urlsafe(24))
    notify(f"Open {server.address}")
    notify("Ctrl-C ends it; a training that a browser started is stopped after a checkpoint.")
    server.serve()
