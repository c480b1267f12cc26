# `make demo` and `make test` set everything up by themselves, in .venv beside this file.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo docs test lint types unit slow clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/stvit-video demo

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: lint types unit

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal --quiet

slow: $(READY)
	$(BIN)/pytest -m slow
	OMP_NUM_THREADS=1 $(BIN)/python tools/fuzz_inputs.py --num_cases 10000
	OMP_NUM_THREADS=1 $(BIN)/python tools/fuzz_serve.py --num_cases 2000

clean:
	rm -rf .venv
