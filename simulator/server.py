"""The process: one threaded HTTP server, the store, the drawing thread; ends cleanly on SIGTERM and SIGINT."""

import signal
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from simulator import faults, store
from simulator.api import Api
from simulator.control import Control
from simulator.limits import Limits
from simulator.media import Files
from simulator.renderer import Renderer
from simulator.store import Store


@dataclass(frozen=True)
class Settings:
    host: str
    port: int
    data: Path
    speed: float
    key: str
    balance: int
    fail_rate: float
    limits: Limits
    quick: bool = False


class App:
    """The WSGI application: /api, /videos, /uploads, /control."""

    def __init__(self, settings: Settings, memory: Store, renderer: Renderer) -> None:
        files = Files(memory, settings.data)
        self.api = Api(memory, files, renderer, settings.limits, settings.speed, settings.fail_rate)
        self.control = Control(memory, self.api, settings.key, settings.balance)
        self.files = files

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        return self.answer(request)(environ, start_response)

    def answer(self, request: Request) -> Response:
        top, _, rest = request.path.lstrip("/").partition("/")
        if top == "api":
            return self.api(request)
        if top == "control":
            return self.control(request)
        if top in ("videos", "uploads") and request.method in ("GET", "HEAD"):
            return self.files.serve(request, "video" if top == "videos" else "file", rest)
        return faults.error(404, "Not found")


class Handler(WSGIRequestHandler):
    """No line per request on the console, and a dropped connection is really dropped."""

    timeout = 120

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The journal has it."""

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        self.close_connection = True


class Server(ThreadedWSGIServer):
    """Threaded; a connection set to linger for zero seconds ends in a reset."""

    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        on, seconds = struct.unpack("ii", request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        if on and not seconds:
            self.close_request(request)
        else:
            super().shutdown_request(request)


def serve(settings: Settings) -> None:
    """Run until told to stop."""
    memory = Store(settings.data)
    with memory.transaction() as db:
        store.add_account(db, "demo", settings.balance)
        store.add_key(db, settings.key, "demo")
    renderer = Renderer(memory, settings.data, settings.quick)
    server = Server(settings.host, settings.port, App(settings, memory, renderer), Handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    renderer.start()
    print(f"simulator ready on http://{settings.host}:{server.port}/api", flush=True)
    server.serve_forever(poll_interval=0.1)
    renderer.stop()
