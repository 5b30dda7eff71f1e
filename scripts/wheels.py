"""Build the wheels and the source distribution that are uploaded: `make wheels`.

    python scripts/wheels.py                          # CPython 3.10 to 3.13 for x86-64 and aarch64, into dist/
    python scripts/wheels.py --machine x86_64 --python python3.12 --out dist

The compiler is clang of the `ziglang` package, which links against the symbols of an old glibc and holds its own C++
library: so a wheel built here runs on every Linux since 2014, and needs no other library. The native core is compiled
once a machine, the bindings once a Python. For aarch64 the headers of this machine's Pythons serve as well: both
are 64-bit, little-endian, and agree on every type.

SOURCE_DATE_EPOCH is the time of the last commit, and no path enters a binary: a second build gives the same bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "wheels"
MACHINES = ("x86_64", "aarch64")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
GLIBC = "2.17"
BUILD_TOOLS = ("scikit-build-core==1.1.2", "pybind11==3.1.0", "ninja==1.13.2")
BACKEND = """
import sys, scikit_build_core.build as backend
what, out, *options = sys.argv[1:]
print(getattr(backend, f"build_{what}")(out, dict(option.split("=", 1) for option in options)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machine", action="append", choices=MACHINES, help="default: all")
    parser.add_argument("--python", action="append", help="a Python to build for; default: 3.10 to 3.13")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--work", type=Path, default=WORK, help="where to compile")
    parser.add_argument("--launcher", default="", help="a compiler cache, such as ccache")
    arguments = parser.parse_args()
    pythons = [find_python(name) for name in arguments.python or PYTHONS]
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ["SOURCE_DATE_EPOCH"] = last_commit_time()
    environments = [build_environment(python, arguments.work) for python in pythons]
    build_sdist(environments[-1], arguments.out)
    for machine in arguments.machine or MACHINES:
        tools = compilers(f"{machine}-linux-gnu.{GLIBC}", arguments.work / machine, arguments.launcher)
        core = build_core(arguments.work / machine / "core", tools, environments[-1])
        for environment in environments:
            wheel = build_wheel(environment, machine, core, tools, arguments)
            print(f"{wheel}  {wheel.stat().st_size} bytes", flush=True)


def find_python(name: str) -> str:
    """The program behind "3.12", "python3.12" or a path; of pyenv's first. Ends the program if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in [*sorted(map(str, pyenv.glob(f"{name}.*/bin/python"))), f"python{name}", name]:
        program = shutil.which(candidate)
        if program and has_headers_of_its_own(program):
            return program
    sys.exit(f"no Python {name} with headers here: install it, or choose with --python")


def has_headers_of_its_own(python: str) -> bool:
    """Not Debian's, which are split by machine and found by the system's compiler alone."""
    code = "import sysconfig; print(sysconfig.get_config_h_filename())"
    header = Path(run([python, "-c", code], check=False).strip() or "none")
    return (
        header.exists()
        and "multiarch" not in header.read_text().lower()
        and "-linux-gnu/" not in header.read_text()
    )


def build_environment(python: str, work: Path) -> Path:
    """The Python of a virtual environment that has the backend, made once."""
    version = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    folder = work / f"py{version}"
    stamp = folder / "made"
    if not stamp.exists():
        run([python, "-m", "venv", "--clear", str(folder)])
        run(
            [
                str(folder / "bin" / "python"),
                "-m",
                "pip",
                "--disable-pip-version-check",
                "-q",
                "install",
                *BUILD_TOOLS,
            ]
        )
        stamp.touch()
    return folder / "bin" / "python"


def compilers(target: str, folder: Path, launcher: str) -> dict[str, str]:
    """CMake's settings of the cross compiler for `target`, machine-system-library; its commands go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    zig = f'"{sys.executable}" -m ziglang'
    commands = {"c++": f"c++ -target {target}", "ar": "ar", "ranlib": "ranlib"}
    machine, system, _ = target.split("-")
    for name, arguments in commands.items():
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec {zig} {arguments} "$@"\n')
        file.chmod(0o755)
    return {
        "CMAKE_SYSTEM_NAME": system.capitalize(),
        "CMAKE_SYSTEM_PROCESSOR": machine,
        "CMAKE_CXX_COMPILER": str(folder / "c++"),
        "CMAKE_CXX_COMPILER_LAUNCHER": launcher,
        "CMAKE_AR": str(folder / "ar"),
        "CMAKE_RANLIB": str(folder / "ranlib"),
        "CMAKE_CXX_FLAGS": f"-ffile-prefix-map={ROOT}=. -g0",
        "CMAKE_BUILD_TYPE": "Release",
    }


def build_core(
    folder: Path, tools: dict[str, str], python: Path, programs: Sequence[str] = ("kernel_hashes",)
) -> Path:
    """The library below the bindings, and programs of tests/native beside it."""
    settings = tools | {"NEXTOKEN_PYTHON": "OFF", "NEXTOKEN_TESTS": "ON"}
    ninja = python.parent / "ninja"
    run(
        ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
        + [f"-D{key}={value}" for key, value in settings.items()]
    )
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    run(["cmake", "--build", str(folder), "-j", jobs, "--target", "nextoken_core", *programs])
    return folder / "libnextoken_core.a"


def build_wheel(
    python: Path, machine: str, core: Path, tools: dict[str, str], arguments: argparse.Namespace
) -> Path:
    version = run([str(python), "-c", "import sys; print('%d%d' % sys.version_info[:2])"]).strip()
    include = run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('include'))"]).strip()
    settings = tools | {
        "NEXTOKEN_CORE": str(core),
        "Python_INCLUDE_DIR": include,
        "PYTHON_MODULE_EXTENSION": f".cpython-{version}-{machine}-linux-gnu.so",
        "PYTHON_MODULE_DEBUG_POSTFIX": "",
        "PYBIND11_USE_CROSSCOMPILING": "ON",
        "CMAKE_INTERPROCEDURAL_OPTIMIZATION": "OFF",  # nothing to gain across the bindings, and slow
        "CMAKE_STRIP": "",  # this machine's strip knows this machine's files
        "CMAKE_MODULE_LINKER_FLAGS": "-Wl,-s",
    }
    options = [f"cmake.define.{key}={value}" for key, value in settings.items()]
    platform = f"manylinux_{GLIBC.replace('.', '_')}_{machine}"
    options.append(f"env._PYTHON_HOST_PLATFORM={platform}")  # the tag's last part
    options.append(f"build-dir={arguments.work / machine / python.parent.parent.name}")
    said = run(
        [str(python), "-c", BACKEND, "wheel", str(arguments.out), *options],
        env=os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"},
    )
    return arguments.out / said.splitlines()[-1]


def build_sdist(python: Path, out: Path) -> None:
    said = run(
        [
            str(python),
            "-c",
            "import sys, scikit_build_core.build as b; print(b.build_sdist(sys.argv[1]))",
            str(out),
        ]
    )
    sdist = out / said.splitlines()[-1]
    print(f"{sdist}  {sdist.stat().st_size} bytes", flush=True)


def last_commit_time() -> str:
    return os.environ.get("SOURCE_DATE_EPOCH") or run(["git", "log", "-1", "--format=%ct"]).strip()


def run(command: list[str], check: bool = True, env: dict[str, str] | None = None) -> str:
    """What the command writes to stdout; ends the program with all it said if it fails."""
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nfailed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
