"""All that can be checked before a release on this machine: `make release-check`, after `make wheels`.

What a machine lacks (qemu, another compiler, wine) is named and left out; everything else must pass.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from hash_checks import EMULATED, emulators_here, hashes, say, windows  # noqa: E402
from kernel_objects import faults  # noqa: E402
from wheel_smoke import smoke  # noqa: E402
from wheels import GLIBC, MACHINES, WORK, find_python, last_commit_time  # noqa: E402

MOST_BYTES = 5_000_000
OLDEST_GLIBC = (2, 28)  # manylinux_2_28 or older


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--work", type=Path, default=WORK, help="where the wheels were compiled")
    parser.add_argument("--tiny", type=Path, default=ROOT / "build" / "tiny")
    parser.add_argument("--model", type=Path, help="a GGUF file that must write text")
    parser.add_argument("--arm64", type=Path, help="a folder made by scripts/arm64_python.sh")
    parser.add_argument("--launcher", default="", help="a compiler cache for other compilers' builds")
    parser.add_argument("--only", action="append", help="run the checks of these names alone")
    arguments = parser.parse_args()
    failed = []
    for name, check in CHECKS.items():
        if arguments.only and name not in arguments.only:
            continue
        print(f"{name}:", flush=True)
        try:
            for line in check(arguments):
                print(f"  {line}", flush=True)
        except (AssertionError, RuntimeError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or getattr(error, "stdout", None) or error
            print(f"  FAILED: {said}", flush=True)
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else None)


def wheels(dist: Path) -> list[Path]:
    found = sorted(dist.glob("*.whl"))
    assert found, f"{dist} holds no wheels: run `make wheels`"
    return found


def version(arguments: argparse.Namespace) -> Iterator[str]:
    """One number, in the package alone; the files are named after it, and the CHANGELOG tells of it."""
    match = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "python/nextoken/__init__.py").read_text(), re.MULTILINE
    )
    assert match, "python/nextoken/__init__.py has no __version__"
    number = match[1]
    files = [*wheels(arguments.dist), *arguments.dist.glob("*.tar.gz")]
    strangers = [file.name for file in files if file.name.split("-")[1].removesuffix(".tar.gz") != number]
    assert not strangers, f"of another version than {number}: {strangers}"
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## ({re.escape(number)}|Unreleased)", changelog, re.MULTILINE), (
        f"no entry for {number}"
    )
    yield f"{number}, {len(files)} files, an entry in the CHANGELOG"


def contents(arguments: argparse.Namespace) -> Iterator[str]:
    """Sizes, metadata that the index accepts, and what the wheels hold."""
    files = [*wheels(arguments.dist), *arguments.dist.glob("*.tar.gz")]
    say(sys.executable, "-m", "twine", "check", "--strict", *files)
    # W101: the two __init__.py without a line are equal; W009: the extension stands inside the package.
    say("check-wheel-contents", "--ignore", "W101", *wheels(arguments.dist))
    for file in files:
        size = file.stat().st_size
        assert size < MOST_BYTES, f"{file.name} has {size} bytes"
        yield f"{file.name}  {size / 1e6:.2f} MB"
    for wheel in wheels(arguments.dist):
        names = zipfile.ZipFile(wheel).namelist()
        for need in ("nextoken/py.typed", "nextoken/_native/__init__.pyi"):
            assert need in names, f"{wheel.name} lacks {need}"


def tags(arguments: argparse.Namespace) -> Iterator[str]:
    """The tag is what auditwheel finds from the symbols, and no library but the C library is needed."""
    for wheel in wheels(arguments.dist):
        said = " ".join(say("auditwheel", "show", wheel).split())
        consistent = re.search(r"consistent with the following platform tag: \"(\w+)\"", said)
        assert consistent, said
        tag = re.match(r"manylinux_(\d+)_(\d+)_", consistent[1])
        assert tag, f"{wheel.name}: only {consistent[1]}"
        assert (int(tag[1]), int(tag[2])) <= OLDEST_GLIBC, f"{wheel.name}: only {consistent[1]}"
        assert f"manylinux_{GLIBC.replace('.', '_')}_" in wheel.name, wheel.name
        yield f"{wheel.name}: {consistent[1]}"


def kernel_files(arguments: argparse.Namespace) -> Iterator[str]:
    for machine in ("x86_64", "aarch64"):
        library = arguments.work / machine / "core" / "libnextoken_core.a"
        if not library.exists():
            yield f"{machine}: not built"
            continue
        found = faults(str(library))
        assert not found, "\n".join(found)
        yield f"{machine}: no symbol of a kernel file can be merged with another's"


def docs(_: argparse.Namespace) -> Iterator[str]:
    if importlib.util.find_spec("mkdocs") is None:
        yield "not built: no mkdocs (make docs installs it)"
        return
    with tempfile.TemporaryDirectory() as folder:
        say(sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder)
    yield "built without a warning"


def installed(arguments: argparse.Namespace) -> Iterator[str]:
    """Each x86-64 wheel in a new environment without a compiler; older processors by emulation."""
    emulators = emulators_here(EMULATED)
    if not emulators:
        yield "older processors: not run, no qemu-x86_64"
    for wheel in wheels(arguments.dist):
        match = re.search(r"-cp3(\d+)-.*x86_64", wheel.name)
        if not match:
            continue
        yield f"Python 3.{match[1]}"
        for line in smoke(wheel, find_python(f"3.{match[1]}"), arguments.tiny, arguments.model, emulators):
            yield f"  {line}"


def installed_arm64(arguments: argparse.Namespace) -> Iterator[str]:
    """The aarch64 wheel of CPython 3.11, unpacked, in Debian's Python of that machine under qemu."""
    if arguments.arm64 is None or not shutil.which("qemu-aarch64"):
        yield "not run: needs qemu-aarch64 and --arm64 FOLDER (scripts/arm64_python.sh)"
        return
    (wheel,) = (w for w in wheels(arguments.dist) if re.search("-cp311-.*aarch64", w.name))
    root = arguments.arm64.resolve() / "root"
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        path = f"{folder}:{arguments.arm64.resolve() / 'site'}"
        for cpu, isas in (("max", ("i8mm", "dotprod", "neon", "scalar")), ("cortex-a53", ("neon",))):
            emulator = [
                "qemu-aarch64",
                "-cpu",
                cpu,
                "-L",
                root,
                "-E",
                f"PYTHONHOME={root}/usr",
                "-E",
                f"PYTHONPATH={path}",
            ]
            for isa in isas:
                model = [arguments.model] if arguments.model and isa == "i8mm" else []
                check = [ROOT / "scripts" / "check_installed.py", arguments.tiny, *model]
                said = say(*emulator, "-E", f"NEXTOKEN_ISA={isa}", root / "usr/bin/python3.11", *check)
                yield f"qemu-aarch64 -cpu {cpu}: {said.strip()}"


def sdist(arguments: argparse.Namespace) -> Iterator[str]:
    """The source distribution, built by pip with this system's compiler and used."""
    (file,) = arguments.dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        say(sys.executable, "-m", "venv", folder)
        python = Path(folder) / "bin" / "python"
        environment = os.environ | {"CMAKE_CXX_COMPILER_LAUNCHER": arguments.launcher}
        pip = [python, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        say(*pip, file.resolve(), environment=environment)
        model = [arguments.model] if arguments.model else []
        yield say(python, ROOT / "scripts" / "check_installed.py", arguments.tiny, *model).strip()


def again(arguments: argparse.Namespace) -> Iterator[str]:
    """A second build has the same bytes: a copy of the sources elsewhere, another copy of the compiler, no caches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in say("git", "ls-files").splitlines():
            copy = folder / "source" / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy)
        say(sys.executable, "-m", "venv", folder / "tools")
        python = folder / "tools" / "bin" / "python"
        ziglang = f"ziglang=={importlib.metadata.version('ziglang')}"
        say(python, "-m", "pip", "--disable-pip-version-check", "-q", "install", ziglang)
        environment = os.environ | {
            "ZIG_GLOBAL_CACHE_DIR": f"{folder}/zig",
            "ZIG_LOCAL_CACHE_DIR": f"{folder}/zig",
            "SOURCE_DATE_EPOCH": last_commit_time(),
        }
        script = folder / "source" / "scripts" / "wheels.py"
        for machine in MACHINES:
            built = [w for w in wheels(arguments.dist) if w.name.endswith(f"_{machine}.whl")]
            for wheel in built[-1:]:  # of one Python: the others' share its core, and all but a few headers
                version = wheel.name.split("-cp3")[1].split("-")[0]
                command = [python, script, "--machine", machine, "--python", f"3.{version}"]
                say(*command, "--out", folder / "dist", environment=environment)
        assert (folder / "dist").exists(), "no wheel was built again"
        for copy in sorted((folder / "dist").iterdir()):
            first = (arguments.dist / copy.name).read_bytes()
            assert first == copy.read_bytes(), f"{copy.name}: other bytes in a second build"
            yield f"{copy.name}: the same bytes, sha256 {hashlib.sha256(first).hexdigest()}"


CHECKS: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "version": version,
    "contents": contents,
    "tags": tags,
    "kernel files": kernel_files,
    "docs": docs,
    "source distribution": sdist,
    "installed": installed,
    "installed on aarch64": installed_arm64,
    "hashes": hashes,
    "windows": windows,
    "a second build": again,
}

if __name__ == "__main__":
    main()
