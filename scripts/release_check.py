"""All that can be checked before a release on this machine: `make release-check`, after `make wheels`.

What a machine lacks (qemu, another compiler, wine) is named and left out; everything else must pass.
"""

from __future__ import annotations

import argparse
import hashlib
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

from kernel_objects import faults  # noqa: E402
from wheel_smoke import smoke  # noqa: E402
from wheels import GLIBC, WORK, find_python  # noqa: E402

MOST_BYTES = 5_000_000
OLDEST_GLIBC = (2, 28)  # manylinux_2_28 or older
HASHES = ROOT / "tests" / "native" / "kernel_hashes.txt"
EMULATED = ("qemu-x86_64 -cpu Nehalem", "qemu-x86_64 -cpu Haswell")
COMPILERS = (("g++", "-O2"), ("g++", "-O3"), ("clang++", "-O2"), ("clang++", "-O3"))


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


def say(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


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


def emulators_here(commands: tuple[str, ...]) -> list[str]:
    return [command for command in commands if shutil.which(command.split()[0])]


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
        for cpu, isas in (("max", ("dotprod", "neon", "scalar")), ("cortex-a53", ("neon",))):
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
                model = [arguments.model] if arguments.model and isa == "dotprod" else []
                check = [ROOT / "scripts" / "check_installed.py", arguments.tiny, *model]
                said = say(*emulator, "-E", f"NEXTOKEN_ISA={isa}", root / "usr/bin/python3.11", *check)
                yield f"qemu-aarch64 -cpu {cpu}: {said.strip()}"


def hashes(arguments: argparse.Namespace) -> Iterator[str]:
    """The kernels' hashes by every compiler and emulator at hand, optimised by -O2 and -O3."""
    wheel_built = arguments.work / "x86_64" / "core" / "tests" / "native" / "kernel_hashes"
    runs = [("clang of ziglang -O3", "", wheel_built)]
    runs += [(f"clang of ziglang -O3, {e}", e, wheel_built) for e in emulators_here(EMULATED)]
    arm = arguments.work / "aarch64" / "core" / "tests" / "native" / "kernel_hashes"
    if shutil.which("qemu-aarch64") and Path("/usr/aarch64-linux-gnu").exists():
        for cpu in ("max", "cortex-a53"):
            emulator = f"qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu {cpu}"
            runs.append((f"clang of ziglang -O3, {emulator}", emulator, arm))
    else:
        yield "aarch64: not run, no qemu-aarch64 with /usr/aarch64-linux-gnu"
    for compiler, level in COMPILERS:
        program = shutil.which(compiler) or shutil.which(f"{compiler}-14")
        if program:
            folder = arguments.work / f"hashes-{compiler}{level}"
            runs.append((f"{compiler} {level}", "", built_hashes(program, level, folder, arguments.launcher)))
        else:
            yield f"{compiler} {level}: not run, no such compiler"
    for name, emulator, program in runs:
        yield f"{name}: {say(*emulator.split(), program, HASHES).strip()}"


def built_hashes(compiler: str, level: str, folder: Path, launcher: str) -> Path:
    settings = {
        "CMAKE_CXX_COMPILER": compiler,
        "CMAKE_CXX_COMPILER_LAUNCHER": launcher,
        "NEXTOKEN_OPTIMIZE": level,
        "NEXTOKEN_PYTHON": "OFF",
        "NEXTOKEN_TESTS": "ON",
    }
    say("cmake", "-S", ROOT, "-B", folder, *(f"-D{key}={value}" for key, value in settings.items()))
    say(
        "cmake",
        "--build",
        folder,
        "-j",
        os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "2"),
        "--target",
        "kernel_hashes",
    )
    return folder / "tests" / "native" / "kernel_hashes"


def again(arguments: argparse.Namespace) -> Iterator[str]:
    """A second build, elsewhere and without a cache, has the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        for machine in ("x86_64", "aarch64"):
            names = {w.name for w in wheels(arguments.dist) if machine in w.name}
            if not names:
                continue
            newest = max(names, key=lambda name: int(name.split("-cp3")[1].split("-")[0]))
            python = f"3.{newest.split('-cp3')[1].split('-')[0]}"
            command = [
                sys.executable,
                str(ROOT / "scripts" / "wheels.py"),
                "--machine",
                machine,
                "--python",
                python,
            ]
            say(*command, "--out", f"{folder}/dist", "--work", f"{folder}/{machine}")
            first, second = arguments.dist / newest, Path(folder) / "dist" / newest
            assert first.read_bytes() == second.read_bytes(), f"{newest}: other bytes in a second build"
            yield f"{newest}: the same bytes, sha256 {hashlib.sha256(first.read_bytes()).hexdigest()}"


CHECKS: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "version": version,
    "contents": contents,
    "tags": tags,
    "kernel files": kernel_files,
    "docs": docs,
    "installed": installed,
    "installed on aarch64": installed_arm64,
    "hashes": hashes,
    "a second build": again,
}

if __name__ == "__main__":
    main()
