"""All three vendors in one, as careless as can be: every error quotes back whatever it was sent, keys included."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What the first calls of each path get, one after the other, before they are answered.
_FAILURES = (500, 429, 503)


class EchoingVendor:
    """`calls` counts requests by path; `customers` are the rows of every send group."""

    def __init__(self, customers: Sequence[dict[str, Any]]) -> None:
        self.customers = customers
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, path: str, quoted: str, sent: Any) -> tuple[int, Any]:
        """Status and content of a reply to what was sent to a path."""
        with self._lock:
            self.calls[path] += 1
            number = self.calls[path]
        if path.endswith("/customers"):
            return 200, self.customers
        if number <= len(_FAILURES):
            return _FAILURES[number - 1], {"error": quoted, "message": quoted}
        if path.endswith("/recipients"):
            letters = sent["addresses"]
            return 200, {"requestId": "q1", "results": [_letter(number, each) for each in letters]}
        if "/track/" in path:
            return 200, {"success": True, "results": [_told(each, quoted) for each in sent["commands"]]}
        if "R4" in quoted:  # a notification that is refused for good
            return 400, {"error": quoted}
        if "R3" in quoted:  # an error in a success, as Optimove writes it
            return 200, quoted
        return 200, {}


def _letter(number: int, sent: Any) -> dict[str, Any]:
    """Every other one is printed."""
    if number % 2:
        return {"error": {"message": f"no such address: {json.dumps(sent)}"}}
    return {"id": f"letter-{number}"}


def _told(command: Any, quoted: str) -> dict[str, Any]:
    if "event_type" in json.dumps(command):
        return {"success": False, "errors": [{"code": 1, "description": quoted}]}
    return {"success": True}


@contextmanager
def vendor_serving(vendor: EchoingVendor) -> Iterator[str]:
    """Its address, for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            quoted = f"{self.headers} {body}"
            status, content = vendor.answer(self.path.partition("?")[0], quoted, json.loads(body or "null"))
            written = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST = do_PUT = _reply  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
