# The commands of this project. `make help` lists them; CI and the pre-commit hooks call the same ones.
#
#   PYTHON=python3.12 make demo    another Python (3.10 to 3.13) for a new .venv
#   JOBS=4 make build              compile with so many processes
#   MODELS="smollm2 gemma3" ROWS=decode:128,prefill:512 make bench-peers    a part of the benchmark

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PROMPT ?= Why is the sky blue? Answer in two sentences.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
# The scripts of .venv (clang-format, cmake of a wheel, ...) before the system's.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# What the installed package is made of.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
  $(shell find csrc -type f) $(shell find python -name '*.py' -o -name '*.pyi' -o -name 'py.typed' -o -name '*.html')
CXX_FILES = $(shell find csrc tests/native $(wildcard bench) -name '*.cpp' -o -name '*.h' -o -name '*.inl')
LINTED := $(wildcard python tests bench scripts)

.DEFAULT_GOAL := help
.PHONY: help build cuda cuda-all cuda-host test test-cuda bench-cuda test-models compare-transformers compare-random bits bench bench-peers bench-check lint models-page format stubs native asan tsan demo docs wheels release-check hashes clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- the environment: one stamp a layer, so that nothing is installed twice -------------------------------------

$(VENV)/made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
	  f"nextoken needs Python 3.10 to 3.13, $(PYTHON) is {v[0]}.{v[1]}: choose one with PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The compiler's side of the build lives in .venv, not in an isolated environment that is new each time: so CMake
# finds its files where they were, and compiles only what changed.
$(VENV)/build-tools: $(VENV)/made
	$(PIP) install "scikit-build-core>=0.11" "pybind11==3.1.0"
	@touch $@

$(VENV)/installed: $(VENV)/build-tools $(SOURCES)
	$(PIP) install --no-build-isolation .
	@touch $@

$(VENV)/dev-tools: $(VENV)/made requirements-dev.txt
	$(PIP) install -r requirements-dev.txt
	@touch $@

build: $(VENV)/installed ## compile and install the package into .venv

# --- try it -----------------------------------------------------------------------------------------------------

demo: build ## fetch a small model and let it answer a prompt, token by token
	$(BIN)/nextoken run smollm2-135m "$(PROMPT)"

bench: build ## measure: cached against uncached decoding
	$(BIN)/nextoken bench cache smollm2-135m

# Peers and models are made once, in a folder that `make clean` leaves alone. 7 billion random weights in four types
# take 22 GB there: MODELS, beginnings of names, makes and runs fewer.
BENCH_CACHE ?= $(HOME)/.cache/nextoken-bench
MODELS ?= smollm2 gemma3 llama1b llama7b
ROWS ?=
ROUNDS ?= 5
IK_LLAMA_BENCH ?=
BENCH_PEERS = $(BIN)/python -m bench.peers --cache $(BENCH_CACHE) --rounds $(ROUNDS) $(if $(ROWS),--rows $(ROWS))

$(VENV)/bench-peers: $(VENV)/dev-tools $(wildcard bench/peers/install.py bench/peers/workers/*)
	$(BIN)/python -m bench.peers.install --cache $(BENCH_CACHE)
	@touch $@

bench-peers: build $(VENV)/bench-peers ## measure beside llama.cpp and others, built once, and the machine's limits
	$(BIN)/python -m bench.models all $(BENCH_CACHE)/models --only $(MODELS) \
	  --llama-quantize $(BENCH_CACHE)/llama.cpp/build/bin/llama-quantize
	$(BENCH_PEERS) $(foreach m,$(MODELS),$(BENCH_CACHE)/models/$(m)*.gguf) --json $(BENCH_CACHE)/bench.json \
	  $(if $(IK_LLAMA_BENCH),--ik-llama-bench $(IK_LLAMA_BENCH))

bench-check: build $(VENV)/dev-tools ## fail if a share of the machine's limits fell by more than 15 %
	$(BIN)/python -m bench.models all $(BENCH_CACHE)/models --only smollm2.gguf gemma3.gguf
	rm -f build/bench-check.json
	$(BENCH_PEERS) $(BENCH_CACHE)/models/smollm2.gguf $(BENCH_CACHE)/models/gemma3.gguf --engines nextoken \
	  --json build/bench-check.json
	$(BIN)/python -m bench.peers.check build/bench-check.json bench/shares.json

# --- check it ---------------------------------------------------------------------------------------------------

# Tokenizers with the ids of llama.cpp, and chat templates: vendor/llama.cpp/models of a source distribution (77 MB).
VOCABULARIES := build/vocabularies
$(VENV)/vocabularies: $(VENV)/dev-tools
	$(PIP) download --no-deps --no-binary llama-cpp-python --dest build "llama-cpp-python==0.3.36"
	mkdir -p $(VOCABULARIES)
	tar -xzf build/llama_cpp_python-0.3.36.tar.gz -C $(VOCABULARIES) --strip-components=4 llama_cpp_python-0.3.36/vendor/llama.cpp/models
	@touch $@

ONLINE := $(if $(NEXTOKEN_TEST_OFFLINE),,yes)
test: lint cuda-host cuda $(if $(ONLINE),$(VENV)/vocabularies) ## what CI runs: lint, types, stubs, CUDA kernels compiled, and all tests but the slow ones
	$(if $(ONLINE),NEXTOKEN_VOCABULARIES=$(VOCABULARIES)) $(PYTEST) -m "not slow" --numprocesses $(JOBS) --dist worksteal

test-models: build $(VENV)/dev-tools ## the tests on real models, slow ones too (downloads 340 MB the first time)
	$(PYTEST) -m models

NAMES ?=
$(VENV)/transformers: $(VENV)/dev-tools
	$(PIP) install "transformers>=5" torch accelerate compressed-tensors --extra-index-url https://download.pytorch.org/whl/cpu
	@touch $@

compare-transformers: build $(VENV)/transformers ## random models of every family beside transformers, from folders (installs torch)
	PYTHONPATH=. $(BIN)/python -m tests.models.compare_transformers $(NAMES)
	$(if $(NAMES),,PYTHONPATH=. $(BIN)/python -m tests.models.compare_quantised)
	$(if $(NEXTOKEN_VOCABULARIES),PYTHONPATH=. $(BIN)/python -m tests.chat.templates)

SEEDS ?= 0 9
compare-random: build $(VENV)/transformers ## random configurations of every family beside transformers (NAMES= SEEDS="0 9")
	PYTHONPATH=. $(BIN)/python -m tests.models.compare_random $(NAMES) --seeds $(SEEDS)

bits: build $(VENV)/dev-tools ## the same bits whatever the cache, chunks, batch, threads and instruction set
	$(PYTEST) -m "not slow" -k "bits"

lint: build $(VENV)/dev-tools ## ruff, strict mypy, clang-format, and stubs in step with the module
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(BIN)/python scripts/stubs.py --check

models-page: build $(VENV)/dev-tools ## write the tables of docs/models.md anew from the code and its tests
	$(BIN)/python scripts/models_page.py

format: $(VENV)/dev-tools ## rewrite Python and C++ files in the project's format
	$(BIN)/ruff check --fix --exit-zero $(LINTED)
	$(BIN)/ruff format $(LINTED)
	$(BIN)/clang-format -i $(CXX_FILES)

stubs: build $(VENV)/dev-tools ## write python/nextoken/_native/*.pyi anew from the compiled module
	$(BIN)/python scripts/stubs.py

# --- NVIDIA cards -----------------------------------------------------------------------------------------------

# Where the toolkit puts it, if nobody told the shell.
NVCC ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_ARCHITECTURES ?= 90
CUDA_ALL := 75;80;86;89;90;100;120
# The extension alone: of the package's core it needs a few files.
cuda_build = cmake -S . -B build/cuda -DNEXTOKEN_CUDA=ON -DCMAKE_CUDA_COMPILER=$(NVCC) "-DCMAKE_CUDA_ARCHITECTURES=$(1)" \
  -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) \
  && cmake --build build/cuda --target _cuda -j $(JOBS)

cuda: $(VENV)/build-tools ## compile the kernels for NVIDIA cards of one architecture, CUDA_ARCHITECTURES, if there is nvcc
	@if [ -z "$(NVCC)" ]; then echo "no nvcc here: the CUDA kernels are not compiled"; else $(call cuda_build,$(CUDA_ARCHITECTURES)); fi

cuda-all: $(VENV)/build-tools ## the same for every architecture that is supported
	@if [ -z "$(NVCC)" ]; then echo "no nvcc here: the CUDA kernels are not compiled"; else $(call cuda_build,$(CUDA_ALL)); fi

cuda-host: $(VENV)/build-tools ## compile the CUDA kernels for the processor, which runs them in the tests
	cmake -S . -B build/cuda_host -DNEXTOKEN_CUDA_HOST=ON -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir)
	cmake --build build/cuda_host --target _cuda_host -j $(JOBS)

# On a machine with a card and no network: PYTHON has pybind11 and numpy, and the package is built into build/card.
card_there = @nvidia-smi -L 2>/dev/null | grep -q GPU || { echo "no NVIDIA card here, or no driver that sees one: nothing was run"; exit 1; }; \
  [ -n "$(NVCC)" ] || { echo "no nvcc here, NVCC= says where it is: nothing was run"; exit 1; }
ON_CARD = PYTHONPATH=build/card/site:. $(PYTHON)
# The card's own architecture, which CMake finds out by itself from 3.24 on.
card_build = cmake -S . -B build/card -DNEXTOKEN_CUDA=ON -DNEXTOKEN_CUDA_HOST=ON -DCMAKE_CUDA_COMPILER=$(NVCC) \
  "-DCMAKE_CUDA_ARCHITECTURES=$$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d . | sort -u | paste -sd ';' -)" \
  -DPython_EXECUTABLE=$$(command -v $(PYTHON)) -Dpybind11_DIR=$$($(PYTHON) -m pybind11 --cmakedir) \
  && cmake --build build/card -j $(JOBS) && rm -rf build/card/site && mkdir -p build/card/site \
  && cp -R python/nextoken build/card/site/ && cmake --install build/card --prefix build/card/site
SANITIZER := $(firstword $(shell command -v compute-sanitizer) $(wildcard /usr/local/cuda/bin/compute-sanitizer))
HAS_TESTS = import pytest, hypothesis, gguf, typer, rich; assert pytest.version_tuple >= (9, 2)

test-cuda: ## on a machine with a card: the bits of the CPU on it, compute-sanitizer where there is one, and its tests
	$(card_there)
	$(card_build)
	$(ON_CARD) -m bench.cuda check
	@if [ -z "$(SANITIZER)" ]; then echo "no compute-sanitizer here"; fi
	@for tool in $(if $(SANITIZER),memcheck racecheck); do \
	  PYTHONPATH=build/card/site:. $(SANITIZER) --tool $$tool --error-exitcode 1 \
	    $(PYTHON) -m bench.cuda check --types Q4_K Q8_0 --tokens 20 || exit 1; \
	done
	@if $(PYTHON) -c "$(HAS_TESTS)" 2>/dev/null; then \
	  NEXTOKEN_CUDA_HOST=build/card $(ON_CARD) -m pytest -q tests/cuda; \
	else echo "without pytest 9.2, hypothesis, gguf, typer and rich: tests/cuda was not run"; fi

bench-cuda: ## on a machine with a card: decode, prefill and 64 sessions on random weights, beside its copy bandwidth
	$(card_there)
	$(card_build)
	$(ON_CARD) -m bench.cuda measure

# --- sanitizers (GCC): their own build folders, their own copy of the package -----------------------------------

SANITIZED_TESTS := $(wildcard tests/api tests/gguf tests/quant tests/kernels tests/cache tests/model tests/checkpoints tests/families \
  tests/sampling tests/tokenizer)
gcc_library = $(shell $(CXX) -print-file-name=$(1))

asan: build $(VENV)/dev-tools ## tests of native code under the address and undefined-behaviour sanitizers
	cmake -S . -B build/asan -DNEXTOKEN_SANITIZE=address,undefined -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir)
	cmake --build build/asan -j $(JOBS)
	rm -rf build/asan/site && mkdir -p build/asan/site && cp -R python/nextoken build/asan/site/
	cmake --install build/asan --prefix build/asan/site
	@# libstdc++ is preloaded too: without it the sanitizer aborts at the first C++ exception. Tests that measure
	@# memory are left out: the sanitizer's red zones grow it.
	PYTHONPATH=build/asan/site PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  UBSAN_OPTIONS=print_stacktrace=1 \
	  LD_PRELOAD="$(call gcc_library,libasan.so) $(call gcc_library,libubsan.so) $(call gcc_library,libstdc++.so.6)" \
	  $(PYTEST) -m "not slow and not models" -k "not memory_stays and not cost_nothing" -p no:cacheprovider $(SANITIZED_TESTS)

# Where there is AVX-512, kernels for AVX-VNNI and AMX are tested by other means than theirs: few processors have all.
EMULATED := $(shell grep -qs avx512_bf16 /proc/cpuinfo && echo ON || echo OFF)

native: ## tests in C++: the thread pool, what a decoded token allocates, hashes of every kernel
	cmake -S . -B build/native -DNEXTOKEN_PYTHON=OFF -DNEXTOKEN_TESTS=ON -DNEXTOKEN_EMULATED=$(EMULATED)
	cmake --build build/native -j $(JOBS)
	ctest --test-dir build/native --output-on-failure

tsan: ## the thread pool under the thread sanitizer
	cmake -S . -B build/tsan -DNEXTOKEN_SANITIZE=thread -DNEXTOKEN_PYTHON=OFF -DNEXTOKEN_TESTS=ON
	cmake --build build/tsan -j $(JOBS)
	ctest --test-dir build/tsan --output-on-failure

# --- the rest ---------------------------------------------------------------------------------------------------

docs: $(VENV)/made ## build the documentation into site/
	$(PIP) install "mkdocs>=1.6,<2"
	$(BIN)/mkdocs build --strict

# --- to be uploaded ---------------------------------------------------------------------------------------------

$(VENV)/release-tools: $(VENV)/dev-tools
	$(PIP) install ziglang==0.17.1 auditwheel check-wheel-contents twine "mkdocs>=1.6,<2"
	@touch $@

wheels: $(VENV)/release-tools ## wheels for Linux on x86-64 and aarch64, CPython 3.10 to 3.13, and the sdist, into dist/
	rm -rf dist
	$(BIN)/python scripts/wheels.py $(WHEELS)

# ARM64=build/arm64, a folder of scripts/arm64_python.sh, runs the aarch64 wheel too; CHECKS="--only tags" some checks.
RELEASE_CHECK = $(BIN)/python scripts/release_check.py $(if $(ARM64),--arm64 $(ARM64)) \
  --model "$$($(BIN)/python -c 'from nextoken.checkpoints import catalogue; print(catalogue.fetch("smollm2-135m"))')"

build/tiny/hashes.json: tests/bits/hashes.json $(VENV)/installed $(VENV)/dev-tools
	PYTHONPATH=. $(BIN)/python scripts/tiny_models.py build/tiny

release-check: build $(VENV)/release-tools build/tiny/hashes.json ## whether dist/ may be uploaded: contents, tags, older processors, same bytes
	$(BIN)/python scripts/stubs.py --check
	$(RELEASE_CHECK) $(CHECKS)

hashes: build $(VENV)/release-tools build/tiny/hashes.json ## the same bits by gcc, clang, -O2, -O3, on Windows and Arm, and from the wheels of dist/
	$(RELEASE_CHECK) --only hashes --only windows --only installed --only "installed on aarch64"

clean: ## remove what make made, the downloaded models excepted
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
