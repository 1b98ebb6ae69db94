# Two commands do everything on a fresh machine: `make claims` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Memory that a forward pass gives back is kept for the next one: asking the system for it anew takes a sixth of the time.
export GLIBC_TUNABLES := glibc.malloc.trim_threshold=1073741824:glibc.malloc.mmap_threshold=33554432:glibc.malloc.hugetlb=1

.PHONY: claims test check bench figures clean

claims: $(READY)
	# Handed out in order, one at a time: claims over training runs come last, and find the runs judged.
	$(BIN)/pytest claims/ -n auto --dist load --maxschedchunk 1

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
