"""Who may ask: the page that was opened with the token, from this machine, and no page of anybody else's.

The token stands behind ``#`` in the address, which no browser sends; the page sends it in a header of its own, which no
other page can make it do, and no other server on this machine gets it, as it would a cookie.
"""

from __future__ import annotations

import hmac
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-rrdbg-token"

_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip
"""Only our own files, no markup made of text, and in nobody's frame."""

_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """Lets requests through to ``app`` that name this server at ``port``, and under ``/api/`` know the ``token``."""

    def __init__(self, app: ASGIApp, port: int, token: str | None = None) -> None:
        self._app = app
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))
        self.token = token or secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http":
            return  # a websocket is none of ours; the server refuses it where nothing is answered

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_ALWAYS)
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if refusal:
            await PlainTextResponse(f"rrdbg: {refusal}\n", 403)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refusal(self, headers: Headers, path: str) -> str:
        """Why a request is not answered; empty if it is."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            # A name of somebody else's may have been made to mean this machine.
            return "this server is asked by its own address alone: http://127.0.0.1:PORT."
        if origin is not None and origin != f"http://{host}":
            return "a page of another server has asked."
        if not path.startswith("/api/"):
            return ""
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "a page of another server has asked."
        given = headers.get(HEADER, "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return "the token is missing, or another one; open the address that 'rrdbg web' has printed."
        return ""
