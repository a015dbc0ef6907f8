# Three commands for people: serve, test, check. Each installs what it needs into .venv first, once.

PYTHON ?= python3
MODEL ?= smollm2
PORT ?= 8000
WORKERS ?= 2

bin := .venv/bin
# Tests run side by side, so each gets one thread; the API keys and settings of whoever runs them stay out.
pytest := env -u HEADWAY_API_KEY -u HEADWAY_ADMIN_KEY -u HEADWAY_TIGHTENING_KEY -u HEADWAY_CONFIG OMP_NUM_THREADS=1 $(bin)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What is built at installation: when one of these changes, it is built anew.
# So it is when a compiler has come, or gone.
compiler := .venv/.$(if $(shell command -v $(or $(CXX),c++)),with,without)-compiler
sources := $(compiler) pyproject.toml setup.py $(wildcard src/headway/kernels/cpu/*.cpp src/headway/kernels/cpu/*.h)

.PHONY: serve test check sanitize clean

serve: .venv/.installed ## install, fetch the model, serve on this machine's loopback
	@$(bin)/headway serve $(MODEL) --port $(PORT)

test: .venv/.installed-dev ## every test
	@$(pytest)

check: .venv/.installed-dev ## format, lint, types, the fast tests
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .
	@$(bin)/mypy src benchmarks docs
	@$(pytest) -m "not slow"

# The kernels are built with sanitizers in their place, and as they were when this is over.
sanitize: export HEADWAY_REQUIRE_KERNELS = 1
sanitize: .venv/.installed-dev ## the kernels' tests under the address and undefined-behaviour sanitizers
	export CFLAGS='-g -fsanitize=address,undefined -fno-sanitize-recover=all'; CXXFLAGS="$$CFLAGS" \
		$(bin)/python setup.py -q build_ext --inplace --force
	@LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
		OMP_NUM_THREADS=2 $(bin)/python -m pytest -q tests/kernels; status=$$?; \
		$(bin)/python setup.py -q build_ext --inplace --force && exit $$status

clean: ## what the other commands made
	rm -rf .venv build dist src/*.egg-info src/headway/kernels/cpu/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(compiler): | $(bin)/pip
	@rm -f .venv/.*-compiler && touch $@

# A stamp is newer than its sources when everything they name is installed, so a second run starts at once.
.venv/.installed: $(sources) | $(bin)/pip
	$(bin)/pip install --disable-pip-version-check -e .
	@touch $@

.venv/.installed-dev: $(sources) | $(bin)/pip
	$(bin)/pip install --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/.installed

$(bin)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Headway needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo "Python's venv module is missing: apt install python3-venv"; rm -rf .venv; exit 1; }
