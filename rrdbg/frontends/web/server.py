"""The server: the page's files, and what it asks of the workbench."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from importlib.resources import files
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn import Config, Server

from rrdbg.errors import HostError, RrdbgError, UsageError
from rrdbg.frontends.web.gate import Gate
from rrdbg.frontends.web.place import Told
from rrdbg.frontends.web.workbench import Workbench
from rrdbg.links.unbroken import unbroken
from rrdbg.model.document import Document
from rrdbg.model.shown import shown

_MOST_BODY = 1 << 16
_MOST_NOTEBOOK = 16 << 20
_LOOPBACK = "127.0.0.1"
_CLOSING_SECONDS = 2
_MOST_CONNECTIONS = 64
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class WebServer:
    """Serves ``bench`` on the loopback interface, from :meth:`listen` until :meth:`close`."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.address = ""
        """Where the page is, with the token."""

    async def listen(self, port: int = 0) -> None:
        """Serve at ``port`` of this machine, 0 for one that is free.

        :raises UsageError: somebody else has it.
        """
        listening = _bound(port)
        port = listening.getsockname()[1]
        gate = Gate(_application(self._bench), port)
        self.address = f"http://{_LOOPBACK}:{port}/#token={gate.token}"
        app: ASGIApp = gate
        config = Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", http="h11", server_header=False,
            timeout_graceful_shutdown=_CLOSING_SECONDS, limit_concurrency=_MOST_CONNECTIONS,
        )  # fmt: skip
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve([listening]))

    async def close(self) -> None:
        """Let all pages go, and the port."""
        await self._bench.close()
        if self._server and self._task:
            self._server.should_exit = True
            await unbroken(asyncio.wait((self._task,)))


class _Server(Server):
    """Leaves the signals of this process to whoever has them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_LOOPBACK, port))
        listening.listen()  # who is told the address may come at once
    except OSError as error:
        listening.close()
        raise UsageError(f"Cannot listen at port {port}: {error.strerror}; choose another one with --port.") from None
    return listening


def _application(bench: Workbench) -> Starlette:
    parts = {name: (content, kind) for name, content, kind in _files()}

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in parts:
            return Response("There is no such file.", 404, media_type="text/plain")
        content, kind = parts[name]
        return Response(content, media_type=kind)

    async def timeline(_: Request) -> Response:
        return JSONResponse(await bench.timeline())

    async def events(_: Request) -> Response:
        return _stream(bench.follow())

    async def run(request: Request) -> Response:
        body = await _body(request)
        return _stream(bench.run(body["line"].text()))

    async def cancel(_: Request) -> Response:
        bench.interrupt()
        return JSONResponse({})

    async def ask(request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await bench.ask(body["what"].text(), body["text"].text()))

    async def notebook(request: Request) -> Response:
        if request.method == "POST":
            bench.save_notebook(await _body(request, _MOST_NOTEBOOK))
        return JSONResponse(bench.notebook())

    async def export(request: Request) -> Response:
        name, kind, content = await bench.exported(request.query_params.get("form", ""))
        # It is handed out to be saved, and must not be taken for a page of this server's.
        headers = {"Content-Disposition": "attachment", "X-File-Name": quote(name)}
        return Response(content, media_type=kind, headers=headers)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/page/{name:str}", page),
            Route("/api/timeline", timeline),
            Route("/api/events", events),
            Route("/api/run", run, methods=["POST"]),
            Route("/api/notebook", notebook, methods=["GET", "POST"]),
            Route("/api/export", export),
            Route("/api/cancel", cancel, methods=["POST"]),
            Route("/api/ask", ask, methods=["POST"]),
        ],
        exception_handlers={RrdbgError: _refused, OSError: _failed},
    )


def _files() -> Iterator[tuple[str, bytes, str]]:
    for folder in (files("rrdbg.render") / "timeline_page", files("rrdbg.frontends.web") / "page"):
        for file in folder.iterdir():
            kind = _TYPES.get(file.name.rpartition(".")[2])
            if kind:
                yield file.name, file.read_bytes(), kind


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": shown(str(error))}, 400)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return await _refused(request, HostError.of(error, "That failed"))


async def _body(request: Request, most: int = _MOST_BODY) -> Document:
    """What a page has sent.

    :raises UsageError: it is longer than anything that a page sends.
    :raises DocumentError: it is no JSON.
    """
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise UsageError(f"A request of more than {most:,} bytes is none of the page's.")
    return Document.parse(data)


def _stream(messages: AsyncIterator[Told]) -> Response:
    """Messages as they come, each JSON on a line of its own."""

    async def lines() -> AsyncIterator[bytes]:
        async with aclosing(messages) as told:  # type: ignore[type-var]
            async for message in told:
                yield json.dumps(message).encode() + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
