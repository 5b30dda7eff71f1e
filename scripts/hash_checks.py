"""The hashes of tests/native/kernel_hashes.txt by every compiler, level, emulator and system at hand."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from wheels import PYTHONS, build_core, build_environment, compilers, find_python

ROOT = Path(__file__).parent.parent
HASHES = ROOT / "tests" / "native" / "kernel_hashes.txt"
EMULATED = ("qemu-x86_64 -cpu Nehalem", "qemu-x86_64 -cpu Haswell")
COMPILERS = (("g++", "-O2"), ("g++", "-O3"), ("clang++", "-O2"), ("clang++", "-O3"))


def say(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def emulators_here(commands: tuple[str, ...]) -> list[str]:
    return [command for command in commands if shutil.which(command.split()[0])]


def hashes(arguments: argparse.Namespace) -> Iterator[str]:
    """The kernels' hashes by every compiler and emulator at hand, optimised by -O2 and -O3."""
    wheel_built = arguments.work / "x86_64" / "core" / "tests" / "native" / "kernel_hashes"
    runs = [("clang of ziglang -O3", "", wheel_built)]
    runs += [(f"clang of ziglang -O3, {e}", e, wheel_built) for e in emulators_here(EMULATED)]
    arm = arguments.work / "aarch64" / "core" / "tests" / "native" / "kernel_hashes"
    if shutil.which("qemu-aarch64") and Path("/usr/aarch64-linux-gnu").exists():
        for cpu in ("max", "neoverse-n1", "cortex-a53"):
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


def windows(arguments: argparse.Namespace) -> Iterator[str]:
    """The core and its test programs, cross-compiled for Windows and run under wine."""
    folder = arguments.work / "windows"
    tools = compilers("x86_64-windows-gnu", folder, arguments.launcher)
    python = build_environment(find_python(PYTHONS[-1]), arguments.work)
    programs = ("kernel_hashes", "thread_pool_test", "decode_allocations_test")
    build_core(folder / "core", tools, python, programs)
    yield "the core and its tests are compiled, x86_64-windows-gnu"
    wine = next(filter(shutil.which, ("wine64", "/usr/lib/wine/wine64")), None)
    if wine is None:
        yield "not run, no wine64"
        return
    environment = os.environ | {"WINEPREFIX": str(folder.resolve() / "wine"), "WINEDEBUG": "-all"}
    for name in programs:
        file = folder / "core" / "tests" / "native" / f"{name}.exe"
        hashes = [f"Z:{HASHES}"] if name == "kernel_hashes" else []
        yield f"wine: {say(wine, file, *hashes, environment=environment).strip()}"
