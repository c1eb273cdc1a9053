# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo demo-short grid-smoke test lint types unit bench clean

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): torch for Linux is some 6 GB on disk and takes a few minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready  ## train on decoy digits, write demo/report.html
	$(BIN)/lookright demo --out demo --overwrite

demo-short: $(VENV)/.ready  ## does every step of the demo run?
	$(BIN)/lookright demo --out demo-short --short --overwrite

grid-smoke: $(VENV)/.ready  ## does every step of an experiment run?
	$(BIN)/lookright bench grids/smoke.yaml --out evidence/smoke
	$(BIN)/lookright bench report evidence/smoke

test: lint types unit  ## what CI runs

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

unit: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

bench: $(VENV)/.ready  ## measure the claims about speed; writes bench/
	$(BIN)/python -m lookright.bench --out bench

clean:
	rm -rf $(VENV) demo demo-short .mypy_cache .pytest_cache .ruff_cache
