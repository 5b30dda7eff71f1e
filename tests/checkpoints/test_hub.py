"""Models of the hub, from a server of the tests, in processes of their own: the hub's settings are read at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nextoken import LLM
from nextoken.checkpoints import hub
from tests.checkpoints.hub_server import SHA, Hub
from tests.gguf_files import tiny_llama
from tests.gguf_split import split
from tests.hf_folders import llama_folder

pytest.importorskip("huggingface_hub")

PROGRAM = """
import json, sys, threading
from nextoken import LLM
from nextoken.errors import Error
arguments = json.loads(sys.argv[1])
seen = []
cancel = threading.Event()
if arguments.pop("cancelled", False):
    cancel.set()
try:
    with LLM(arguments.pop("model"), progress=lambda d, t: seen.append((d, t)), cancel=cancel, **arguments) as llm:
        print(json.dumps({"name": llm.name, "path": llm.path, "progress": seen[-1],
                          "ids": llm.generate([5, 6, 7], max_tokens=4).token_ids}))
except Exception as error:
    print(json.dumps({"error": [c.__name__ for c in type(error).__mro__], "message": str(error)}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    (root / "made").mkdir()
    folder = llama_folder(root / "made", "BF16", shards=2)
    (root / "tiny").mkdir()
    folder.rename(root / "tiny" / "folder")
    (root / "tiny" / "folder" / "modeling_tiny.py").write_text("raise SystemExit('code of a model ran')")
    (root / "tiny" / "files").mkdir()
    tiny_llama(root / "tiny" / "files" / "tiny-Q8_0.gguf", "Q8_0")
    tiny_llama(root / "tiny" / "files" / "tiny-F16.gguf", "F16")
    split(root / "tiny" / "files" / "tiny-Q8_0.gguf", root / "tiny" / "parts")
    tiny_llama(root / "tiny" / "parts" / "other.gguf")
    hub_server = Hub(root)
    thread = threading.Thread(target=hub_server.serve_forever, daemon=True)
    thread.start()
    yield hub_server
    hub_server.shutdown()
    hub_server.server_close()
    thread.join()


def load(server: Hub, home: Path, offline: bool = False, **arguments: Any) -> dict[str, Any]:
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_OFFLINE": "1"} if offline else {}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def expected(path: Path) -> list[int]:
    with LLM(path) as llm:
        return list(llm.generate([5, 6, 7], max_tokens=4).token_ids)


def test_a_folder_and_a_file_of_the_hub_run_and_then_without_network(server: Hub, tmp_path: Path) -> None:
    folder = load(server, tmp_path, model="tiny/folder")
    assert folder["ids"] == expected(server.root / "made" / "model.gguf")
    assert folder["name"] == "folder"
    assert folder["progress"][0] == folder["progress"][1]
    assert not any("modeling_tiny.py" in request for request in server.requests)
    file = load(server, tmp_path, model="tiny/files", file="*Q8_0.gguf", revision="v1")
    assert file["ids"] == expected(server.root / "tiny" / "files" / "tiny-Q8_0.gguf")
    assert file["name"] == "tiny-Q8_0"
    assert SHA in file["path"]

    n = len(server.requests)
    assert load(server, tmp_path, offline=True, model="tiny/folder")["ids"] == folder["ids"]
    assert (
        load(server, tmp_path, offline=True, model="tiny/files", file="*Q8_0.gguf", revision="v1")["ids"]
        == file["ids"]
    )
    missing = load(server, tmp_path, offline=True, model="tiny/files", file="*F16.gguf", revision="v1")
    assert "DownloadError" in missing["error"] or "ValueError" in missing["error"]
    assert len(server.requests) == n


def test_a_model_in_parts_is_fetched_whole(server: Hub, tmp_path: Path) -> None:
    for file in ("m-*.gguf", "m-00001-of-00003.gguf"):
        whole = load(server, tmp_path / file[:3], model="tiny/parts", file=file)
        assert whole["ids"] == expected(server.root / "tiny" / "files" / "tiny-Q8_0.gguf")
        assert whole["path"].endswith("m-00001-of-00003.gguf")
        assert not any("other.gguf" in request for request in server.requests)
    assert (
        load(server, tmp_path / file[:3], offline=True, model="tiny/parts", file=file)["ids"] == whole["ids"]
    )


def test_what_is_not_there_is_a_typed_error(server: Hub, tmp_path: Path) -> None:
    for arguments, kind, message in (
        ({"model": "tiny/nothing"}, "DownloadError", "tiny/nothing"),
        (
            {"model": "tiny/files", "file": "*.gguf"},
            "ValueError",
            "fits 2 files of tiny/files: tiny-F16.gguf",
        ),
        (
            {"model": "tiny/files", "file": "*Q2_K.gguf"},
            "ValueError",
            "fits no file of tiny/files; it has tiny-F16",
        ),
        ({"model": "tiny/files", "file": "*Q8_0.gguf", "revision": "v9"}, "DownloadError", "v9"),
        ({"model": "tiny/folder", "cancelled": True}, "Cancelled", "cancelled"),
    ):
        result = load(server, tmp_path, **arguments)
        assert kind in result["error"], result
        assert message in result["message"]


@pytest.mark.parametrize(
    "name", ["../x", "a/b/c", "a", "C:\\x", "/a/b", "a/..", "a/b\0", "a/" + "b" * 10_000, "a/b.gguf"]
)
def test_names_that_are_no_repository_are_never_asked_for(name: str) -> None:
    assert not hub.is_repository(name)


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "a/../../b", "", "a\0", "a\\..\\b", "x" * 600])
def test_a_file_outside_of_a_repository_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match="is no name in a repository"):
        LLM("owner/name", file=file)
    with pytest.raises(TypeError, match="revision must be a str or None, got int"):
        LLM("owner/name", revision=3)  # type: ignore[arg-type]


def test_a_file_of_a_local_model_makes_no_sense(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    with pytest.raises(ValueError, match="file and revision are for models of the hub"):
        LLM(path, file="*.gguf")
