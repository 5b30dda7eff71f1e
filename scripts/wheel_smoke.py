"""Install a wheel as a user would, without a compiler in reach, and use it.

    python scripts/wheel_smoke.py dist/nextoken-...whl --python python3.12 --tiny build/tiny [--model MODEL.gguf]
        [--emulate "qemu-x86_64 -cpu Nehalem"]...

A new virtual environment, whose `bin` is the whole PATH; pip with nothing but wheels; then every instruction set of
this processor, and of those emulated, gives the hashes on record, and one it does not have is refused with a reason.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SCRIPTS = Path(__file__).parent
COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "cmake", "ninja", "make")
PROMPT = "Why is the sky blue?"


class Install:
    """A wheel in a virtual environment of its own."""

    def __init__(self, wheel: Path, python: str, folder: Path) -> None:
        run([python, "-m", "venv", str(folder)], dict(os.environ))
        self.bin = folder / "bin"
        self.python = str(self.bin / "python")
        # What pip and the downloads of models need to know of the network, and nothing else of the caller's.
        kept = {
            k: v for k, v in os.environ.items() if k.upper().startswith(("PIP_", "HTTP", "NO_PROXY", "SSL_"))
        }
        self.environment = kept | {"PATH": str(self.bin), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        found = [name for name in COMPILERS if shutil.which(name, path=str(self.bin))]
        assert not found, f"{found} are on the PATH"
        pip = [
            self.python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "-q",
            "install",
            "--only-binary",
            ":all:",
        ]
        self.seconds = timed(lambda: run([*pip, str(wheel)], self.environment))

    def check(self, tiny: Path, model: Path | None, isa: str = "", emulator: str = "") -> str:
        command = [*emulated(emulator), self.python, str(SCRIPTS / "check_installed.py"), str(tiny)]
        forced = {"NEXTOKEN_ISA": isa} if isa else {}
        return run([*command, *([str(model)] if model else [])], self.environment | forced).strip()

    def isas(self, emulator: str = "") -> list[str]:
        code = "from nextoken.kernels import isas; print(*isas())"
        return run([*emulated(emulator), self.python, "-c", code], self.environment).split()

    def refusal(self, isa: str, emulator: str = "") -> str:
        """The last line of what it says when it is asked for kernels that can not run."""
        code = "from nextoken import _native; _native.Sampler(vocab_size=4)"
        done = subprocess.run(
            [*emulated(emulator), self.python, "-c", code],
            env=self.environment | {"NEXTOKEN_ISA": isa},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, f"{isa}: ended with {done.returncode}"
        return done.stderr.strip().splitlines()[-1]

    def import_seconds(self) -> float:
        """Of `import nextoken` in a new process, beyond the start of Python: the best of five."""
        empty = min(timed(lambda: run([self.python, "-c", ""], self.environment)) for _ in range(5))
        full = min(
            timed(lambda: run([self.python, "-c", "import nextoken"], self.environment)) for _ in range(5)
        )
        return full - empty

    def first_token_seconds(self, model: Path) -> float:
        """From the start of the command to its first output."""
        command = [str(self.bin / "nextoken"), "run", str(model), PROMPT, "--max-tokens", "8"]
        start = time.perf_counter()
        with subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.read(1)
            seconds = time.perf_counter() - start
            process.stdout.read()
        assert first, "nextoken run said nothing"
        assert process.returncode == 0, f"nextoken run ended with {process.returncode}"
        return seconds


def emulated(command: str) -> list[str]:
    """The words of "qemu-x86_64 -cpu Nehalem", the program by its path: the environment's PATH does not reach it."""
    words = shlex.split(command)
    return [shutil.which(words[0]) or words[0], *words[1:]] if words else []


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def run(command: list[str], environment: dict[str, str]) -> str:
    """What the command says on stdout; an error with all it said if it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def smoke(wheel: Path, python: str, tiny: Path, model: Path | None, emulators: list[str]) -> Iterator[str]:
    """One line for each thing that was done."""
    with tempfile.TemporaryDirectory() as folder:
        install = Install(wheel, python, Path(folder))
        yield f"pip install {install.seconds:.1f} s, import nextoken {install.import_seconds():.3f} s"
        if model is not None:
            yield f"from `nextoken run` to the first output {install.first_token_seconds(model):.2f} s"
        for isa in install.isas():
            yield install.check(tiny, model, isa)
        for emulator in emulators:
            isas = install.isas(emulator)
            for isa in isas:
                yield f"{emulator}: {install.check(tiny, None, isa, emulator)}"
            missing = next((isa for isa in ("avx2", "avx512") if isa not in isas), None)
            if missing:
                yield f"{emulator}: {install.refusal(missing, emulator)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--tiny", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--emulate", action="append", default=[])
    arguments = parser.parse_args()
    for line in smoke(arguments.wheel, arguments.python, arguments.tiny, arguments.model, arguments.emulate):
        print(line, flush=True)


if __name__ == "__main__":
    main()
