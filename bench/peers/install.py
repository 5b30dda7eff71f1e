"""Builds or installs the engines nextoken is measured beside, once, into a cache folder.

    python -m bench.peers.install [--cache FOLDER] [--only llama.cpp]

Each has a folder of its own. One that can not be had is reported and left out; what is there already is kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from bench.peers import machine

DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nextoken-bench"
LLAMA_SDIST = "llama-cpp-python==0.3.36"
LOAD_TILES = "_tile_loadconfig(&tc);"
KEEP_STORES = 'asm volatile("" : : "r"(&tc) : "memory");'


def run(*command: object, cwd: Path | None = None) -> None:
    subprocess.run([str(word) for word in command], check=True, cwd=cwd, stdout=sys.stderr)


def llama_cpp(cache: Path) -> None:
    """llama.cpp for this very processor, out of the source distribution of its Python binding, and our worker."""
    source = cache / "llama.cpp"
    if not source.exists():
        run(
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            cache,
            LLAMA_SDIST,
        )
        archive = next(cache.glob("llama_cpp_python-*.tar.gz"))
        unpacked = cache / archive.name.removesuffix(".tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(cache, filter="data")
        keep_tile_stores(unpacked / "vendor" / "llama.cpp")
        (unpacked / "vendor" / "llama.cpp").rename(source)
    library = source / "build" / "bin"
    if not any(library.glob("libllama.*")) or not (library / "llama-quantize").exists():
        options = (
            "-DCMAKE_BUILD_TYPE=Release",
            "-DGGML_NATIVE=ON",
            "-DLLAMA_BUILD_TESTS=OFF",
            "-DLLAMA_CURL=OFF",
        )
        run("cmake", "-S", source, "-B", source / "build", *options)
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count())
        run(
            "cmake",
            "--build",
            source / "build",
            "-j",
            jobs,
            "--target",
            "llama",
            "llama-quantize",
            "llama-bench",
        )
    worker = Path(__file__).parent / "workers" / "llama_worker.cpp"
    program = cache / "llama_worker"
    if not program.exists() or program.stat().st_mtime < worker.stat().st_mtime:
        include = [f"-I{source / 'include'}", f"-I{source / 'ggml' / 'include'}"]
        link = [f"-L{library}", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{library.resolve()}"]
        run(machine.compiler(), "-O2", "-std=c++17", *include, worker, "-o", program, *link)


def keep_tile_stores(source: Path) -> None:
    """gcc 12 takes all but 8 bytes of an AMX tile configuration for unread and drops the stores: the build crashes.

    With one line in front of the load it runs, and is as fast as its authors meant it.
    """
    if "amx_int8" not in machine.cpu_info().get("flags", ""):
        return
    file = source / "ggml" / "src" / "ggml-cpu" / "amx" / "mmq.cpp"
    text = file.read_text()
    if LOAD_TILES not in text:
        raise RuntimeError(f"{file}: {LOAD_TILES} is not where it was")
    file.write_text(text.replace(LOAD_TILES, f"{KEEP_STORES} {LOAD_TILES}"))


def environment(folder: Path, *packages: str) -> None:
    """A virtual environment with these packages."""
    if not (folder / "bin").exists():
        run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", *packages)


def openvino(cache: Path) -> None:
    """OpenVINO GenAI, which reads GGUF files itself."""
    if not (cache / "openvino" / "ready").exists():
        environment(cache / "openvino", "openvino-genai", "numpy")
        (cache / "openvino" / "ready").touch()


def transformers(cache: Path) -> None:
    """transformers on torch's build for processors, where the index of those builds can be reached."""
    if not (cache / "torch" / "ready").exists():
        index = ("--extra-index-url", "https://download.pytorch.org/whl/cpu")
        environment(cache / "torch", *index, "torch", "transformers", "accelerate", "gguf", "sentencepiece")
        (cache / "torch" / "ready").touch()


def ctranslate2(cache: Path) -> None:
    """CTranslate2 beside transformers, which its converter needs."""
    transformers(cache)
    if not (cache / "torch" / "ctranslate2-ready").exists():
        environment(cache / "torch", "ctranslate2")
        (cache / "torch" / "ctranslate2-ready").touch()


PEERS: dict[str, Callable[[Path], None]] = {
    "llama.cpp": llama_cpp,
    "openvino-genai": openvino,
    "transformers": transformers,
    "ctranslate2": ctranslate2,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--only", choices=PEERS, action="append", help="this one; may be given again")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or PEERS:
        try:
            PEERS[name](arguments.cache)
        except (OSError, RuntimeError, subprocess.CalledProcessError, StopIteration) as reason:  # noqa: PERF203
            print(f"{name}: not installed, left out: {reason}")
        else:
            print(f"{name}: ready")


if __name__ == "__main__":
    main()
