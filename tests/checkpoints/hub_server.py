"""A server that speaks as much of the hub's HTTP as downloads need, over a folder of repositories."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

SHA = hashlib.sha1(b"commit").hexdigest()
REVISIONS = {"main": SHA, "v1": SHA, SHA: SHA}


class Hub(ThreadingHTTPServer):
    """Serves `root`/owner/name; `requests` are the paths asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            repository, kind, revision = match[1], match[2], match[3] or "main"
            folder = self.server.root / repository
            if not folder.is_dir():
                return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            if revision not in REVISIONS:
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
            answer: Any = {"id": repository, "sha": SHA, "siblings": [{"rfilename": f} for f in files]}
            if kind == "tree":
                answer = [
                    {"type": "file", "path": f, "size": (folder / f).stat().st_size, "oid": _oid(folder / f)}
                    for f in files
                ]
            return self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            file = self.server.root / match[1] / match[3]
            if file.is_file():
                return self._send_file(file)
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
        return self._send(404, b"")

    def _send_file(self, file: Path) -> None:
        data = file.read_bytes()
        headers = {"ETag": f'"{_oid(file)}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        begin = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", ""))
        if begin:
            start = int(begin[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return self._send(206, data[start:], headers)
        return self._send(200, data, headers)

    def _send(self, code: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
