"""Engines as processes: each loads a model once and then runs one row after the other, when told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.peers.rows import Row

HERE = Path(__file__).parent
LARGEST_DEQUANTISED = 500e6  # bytes of a file


class Unavailable(Exception):
    """An engine can not be had, or can not run a model or a row; the text says why."""


class Worker:
    """A process of `workers/`, spoken to line by line."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer("ready")

    def sample(self, row: Row) -> float:
        """Tokens/s of one run of the row."""
        assert self.process.stdin
        what = "prefill" if row.what == "prefill" else "decode"
        try:
            print(what, row.tokens, row.depth, row.sequences, file=self.process.stdin, flush=True)
        except OSError:
            raise Unavailable("the process has ended") from None
        return row.new_tokens / float(self._answer())

    def _answer(self, expected: str | None = None) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        if not line or line.startswith("error") or (expected and line != expected):
            raise Unavailable(line.removeprefix("error ") or f"ended with status {self.process.wait()}")
        return line

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class LlamaBench:
    """A llama-bench program, one process a sample; it knows no ragged sequences."""

    def __init__(self, program: Path, model: Path, threads: int, options: tuple[str, ...] = ()) -> None:
        self.command = [str(program), "-m", str(model), "-t", str(threads), "-r", "1", "-o", "json", *options]

    def sample(self, row: Row) -> float:
        if row.sequences > 1:
            raise Unavailable("llama-bench has no ragged sequences")
        if row.what == "prefill":
            words = ["-p", str(row.tokens), "-n", "0"]
        elif row.depth:  # the prompt is not timed
            words = ["-p", "0", "-n", "0", "-gp", f"{row.depth},{row.tokens}"]
        else:
            words = ["-p", "0", "-n", str(row.tokens)]
        done = subprocess.run([*self.command, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"llama-bench ended with status {done.returncode}")
        return float(json.loads(done.stdout)[-1]["avg_ts"])

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Engine:
    """How to start an engine. `first` is the command of a load to the first token, lacking the number of ids."""

    name: str
    start: Callable[[Path, int], Worker | LlamaBench]
    first: Callable[[Path, int], list[str]] | None = None


def first_token(engine: Engine, model: Path, threads: int, ids: int) -> tuple[float, float, float]:
    """(seconds, peak MiB, MiB before the load) of a process that loads, reads `ids` and chooses one token."""
    if engine.first is None:
        raise Unavailable("not measured with this engine")
    # Installed modules are compiled already: those of a checkout are kept by the first process for the next ones.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [*engine.first(model, threads), str(ids)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 3:
        raise Unavailable(done.stdout.strip() or f"ended with status {done.returncode}")
    return float(words[0]), int(words[1]) / 1024, int(words[2]) / 1024


def script(python: str | Path, name: str, *words: object) -> list[str]:
    return [str(python), str(HERE / "workers" / name), *map(str, words)]


def states(cache: Path, engine: str, model: Path) -> str:
    """Where an engine keeps long prefixes of a model, so that a depth is computed once."""
    folder = cache / "states"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"{engine}-{model.stem}")


def dequantised(cache: Path, model: Path, part: str) -> Path:
    """A folder with the model's weights as floats, or as CTranslate2's int8; made when first asked for."""
    folder = cache / "dequantised" / model.stem
    if not (folder / part).exists():
        if model.stat().st_size > LARGEST_DEQUANTISED:
            raise Unavailable("too large to be dequantised")
        command = script(cache / "torch" / "bin" / "python", "dequantise.py", model, folder)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not (folder / part).exists():
            raise Unavailable("the model is not converted: " + done.stderr.strip().rpartition("\n")[2])
    return folder / part


def available(cache: Path, ik_llama_bench: Path | None) -> dict[str, Engine]:
    """The engines that have been installed into `cache`; see install.py."""

    def python(folder: str, name: str, *words: object) -> Worker:
        return Worker(script(cache / folder / "bin" / "python", name, *words))

    def ours(model: Path, threads: int) -> list[str]:
        return script(sys.executable, "nextoken_worker.py", model, threads)

    def llama(model: Path, threads: int) -> list[str]:
        return [str(cache / "llama_worker"), str(model), str(threads)]

    def floats(dtype: str) -> Callable[[Path, int], Worker]:
        return lambda m, t: python(
            "torch", "transformers_worker.py", dequantised(cache, m, "float32"), t, dtype
        )

    engines = [
        Engine(
            "nextoken",
            lambda m, t: Worker([*ours(m, t), states(cache, "nextoken", m)]),
            lambda m, t: [*ours(m, t), "--first"],
        )
    ]
    if (cache / "llama_worker").exists():
        engines.append(
            Engine(
                "llama.cpp",
                lambda m, t: Worker([*llama(m, t), states(cache, "llama", m)]),
                lambda m, t: [*llama(m, t), "--first"],
            )
        )
    if ik_llama_bench:
        engines.append(Engine("ik_llama.cpp", lambda m, t: LlamaBench(ik_llama_bench, m, t, ("-fa", "1"))))
    if (cache / "openvino" / "ready").exists():
        engines.append(
            Engine("OpenVINO GenAI", lambda m, t: python("openvino", "openvino_worker.py", m.resolve(), t))
        )
    if (cache / "torch" / "ctranslate2-ready").exists():
        engines.append(
            Engine(
                "CTranslate2 int8",
                lambda m, t: python("torch", "ctranslate2_worker.py", dequantised(cache, m, "int8"), t),
            )
        )
    if (cache / "torch" / "ready").exists():
        engines.append(Engine("transformers f32", floats("float32")))
        engines.append(Engine("transformers bf16", floats("bfloat16")))
    return {engine.name: engine for engine in engines}
