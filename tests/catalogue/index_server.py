"""A package index on 127.0.0.1 that serves one small wheel, well or badly."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROJECT = "nextoken-fake-model"
WHEEL = "nextoken_fake_model-1.0-py3-none-any.whl"
MEMBER = "nextoken_fake_model/model.bin"


def make_wheel(payload: bytes) -> bytes:
    """A valid wheel that holds `payload` as MEMBER."""
    info = "nextoken_fake_model-1.0.dist-info"
    files = {
        MEMBER: payload,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: nextoken-fake-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in files).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class IndexServer:
    """Serves `wheel` under /simple. `fault` picks what goes wrong with the file: see _Handler.send_wheel."""

    def __init__(self, wheel: bytes) -> None:
        self.wheel = wheel
        self.fault = "none"
        self.downloads = 0
        self.stop = threading.Event()
        handler = type("Handler", (_Handler,), {"index": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/simple"

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    index: IndexServer

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            page = f'<!DOCTYPE html><html><body><a href="/files/{WHEEL}">{WHEEL}</a></body></html>'
            self.reply(200, page.encode(), "text/html")
        elif self.path.startswith("/files/"):
            self.index.downloads += 1
            self.send_wheel()
        else:
            self.reply(404, b"", "text/plain")

    def send_wheel(self) -> None:
        fault, wheel = self.index.fault, self.index.wheel
        if fault.isdigit():
            self.reply(int(fault), b"<html>no</html>", "text/html")
        elif fault == "html":
            self.reply(200, b"<html>Please log in to this network.</html>", "text/html")
        elif fault == "redirect loop":
            self.reply(302, b"", "text/plain", {"Location": self.path})
        elif fault == "cut":
            self.reply(200, wheel[: len(wheel) // 2], length=len(wheel))
            self.close_connection = True
        elif fault == "drip":
            self.reply(200, b"", length=len(wheel))
            for i in range(len(wheel)):
                if self.index.stop.is_set():
                    break
                self.wfile.write(wheel[i : i + 1])
                time.sleep(0.05)
        else:
            self.reply(200, wheel)

    def reply(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/octet-stream",
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
