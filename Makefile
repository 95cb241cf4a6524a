# Each target sets up what it needs: Python >= 3.11 with venv, and make, are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Whole processes are timed for the default and for each package's own warm-up.
TIMED := monochord/auto/auto nutpie numpyro/diagonal blackjax/window_diagonal pymc/default

.PHONY: demo test check nightly oldest bench bench-full docs clean constraints

demo: $(VENV)/.installed
	$(BIN)/monochord demo --output posterior.nc

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not nightly" $(PYTEST_ARGS)

nightly: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)
	$(MAKE) oldest

# The sources of models at the oldest versions that are supported; `test` runs them at the newest.
oldest: $(VENV)/.oldest
	$(VENV)/oldest/bin/python -m pytest -m "not nightly" tests/targets tests/test_groups.py

$(VENV)/.oldest: pyproject.toml $(VENV)/.installed
	$(PYTHON) -m venv $(VENV)/oldest
	$(VENV)/oldest/bin/python -m pip install --quiet --editable '.[test]' jax==0.9.0 jaxlib==0.9.0 numpyro==0.20.0 pymc==5.25.0 bambi==0.15.0 bridgestan==2.6.0
	touch $@

check: $(VENV)/.installed
	$(BIN)/ruff format --check src tests benchmarks examples docs
	$(BIN)/ruff check src tests benchmarks examples docs
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run --set quick --output benchmarks/results/quick.jsonl
	$(BIN)/python -m benchmarks.scores benchmarks/results/quick.jsonl

bench-full: $(VENV)/.bench
	$(BIN)/python -m benchmarks.main_job
	$(BIN)/python -m benchmarks.quick_start
	$(BIN)/python -m benchmarks.run --set full --max-seconds 150 --output benchmarks/results/peers.jsonl
	$(BIN)/python -m benchmarks.scores benchmarks/results/peers.jsonl --notes benchmarks/NOTES.md
	$(BIN)/python -m benchmarks.front benchmarks/results/peers.jsonl --readme README.md --plot benchmarks/results/peers.png
	$(BIN)/python -m benchmarks.rate
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.scaling --table --plot benchmarks/results/scaling.png --notes benchmarks/NOTES.md
	$(BIN)/python -m benchmarks.run --set quick --timing --methods $(TIMED) --output benchmarks/results/timing.jsonl
	$(BIN)/python -m benchmarks.wall benchmarks/results/timing.jsonl --notes benchmarks/NOTES.md

# The pages run as they are built; a failing cell, a warning or a broken link fails the build.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -E -b html docs docs/_build/html

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Monochord needs Python 3.11 or newer: make PYTHON=/path/to/python')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,test,check]'
	touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

# Pins what the environment holds now; run it after trying newer versions.
constraints: $(VENV)/.installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude monochord > constraints.txt

clean:
	rm -rf $(VENV) dist docs/_build .pytest_cache .ruff_cache .import_linter_cache
