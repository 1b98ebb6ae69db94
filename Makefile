# Two commands do everything on a fresh machine: `make claims` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: claims test check bench figures clean

claims: $(READY)
	$(BIN)/pytest claims/ -n auto --dist worksteal

test: $(READY)
	$(BIN)/pytest tests/ -n auto --dist worksteal

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/pytest benchmarks/ --benchmark-columns=median,rounds

figures: $(READY)
	$(BIN)/python docs/figures/inference.py

clean:
	rm -rf $(VENV)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	# torch first and pinned: what depends on it must not choose another build.
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,hf,odeformer]'
	# Its pin of sympy would take torch back to 2.4; what it needs is in the extra above.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps odeformer
	touch $(READY)
