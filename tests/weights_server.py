"""A real HTTP server on this computer that misbehaves on request."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Answer:
    """What to send, and how to go wrong."""

    body: bytes = b""
    status: int = 200
    cut_after: int | None = None
    """Close the connection after this many bytes of the body."""
    stall_after: int | None = None
    """Say nothing more after this many bytes, until the server closes."""
    headers: dict[str, str | None] = field(default_factory=dict)
    """Instead of the usual ones; None leaves one out."""


@dataclass
class Server:
    url: str
    answers: list[Answer] = field(default_factory=list)
    """One per request, in order; the last one again and again."""
    requests: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(self.path)
            answer = server.next_answer()
            self.send_response(answer.status)
            usual = {"Content-Length": str(len(answer.body)), "Connection": "close"}
            for key, value in (usual | answer.headers).items():
                if value is not None:
                    self.send_header(key, value)
            self.end_headers()
            ends = [n for n in (answer.cut_after, answer.stall_after) if n is not None]
            self.wfile.write(answer.body[: min(ends, default=None)])
            self.wfile.flush()
            if answer.stall_after is not None:
                server.stalled.set()
                server.closing.wait(30)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler


@contextmanager
def serve(*answers: Answer) -> Iterator[Server]:
    """Run a server with these answers."""
    state = Server("", list(answers))
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    httpd.daemon_threads = False
    state.url = f"http://127.0.0.1:{httpd.server_port}/toy_v1.pt"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()
