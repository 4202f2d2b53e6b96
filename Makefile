# `make help` lists the targets. Everything is installed into .venv and nothing outside the checkout.
PYTHON ?= python3
VENV ?= .venv
# Where torch comes from: a requirement or the path of a wheel, and extra options of pip for it,
# e.g. TORCH_INDEX="--index-url URL" with the address of PyTorch's CPU or ROCm wheels.
TORCH ?= torch
TORCH_INDEX ?=
# Options of pytest, e.g. PYTEST_ARGS="-k kernel -x".
PYTEST_ARGS ?=
# Options of every script that `make bench` runs, e.g. BENCH_ARGS="--threads 1".
BENCH_ARGS ?=

BIN := $(VENV)/bin
# Entry points are frozen when the package is installed, so the stamp depends on pyproject.toml.
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv test lint docs demo napari bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 8

venv: $(STAMP) ## build the virtual environment

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt $(TORCH_INDEX) "$(TORCH)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

test: lint docs ## linters, types, import contracts, documentation, tests
	OMP_NUM_THREADS=1 $(BIN)/pytest --ignore=tests/napari -n auto --maxprocesses 8 --dist worksteal $(PYTEST_ARGS)
	$(BIN)/pytest tests/napari -n auto --maxprocesses 4 --dist loadfile # apart: a crash in Qt ends no other test

lint: $(STAMP) ## ruff, mypy and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

demo: $(STAMP) ## deblur small images into demo-output
	$(BIN)/unblur demo -o demo-output

napari: $(STAMP) ## open napari with the widget and a sample
	$(BIN)/python -m napari_deblur

# What needs neither data nor a screen, smaller than what docs/benchmarks.md shows.
bench: $(STAMP) ## measure what needs no data, in some minutes
	$(BIN)/python benchmarks/richardson_lucy.py --repeats 2 $(BENCH_ARGS)
	$(BIN)/python benchmarks/space_variant.py --repeats 5 $(BENCH_ARGS)
	$(BIN)/python benchmarks/flow_blur.py --repeats 2 $(BENCH_ARGS)
	$(BIN)/python benchmarks/operators.py --repeats 10 $(BENCH_ARGS)
	$(BIN)/python benchmarks/networks.py --repeats 1 --side 128 --kernel-sizes 19 $(BENCH_ARGS)
	$(BIN)/python benchmarks/products.py --repeats 1 --side 128 $(BENCH_ARGS)
	$(BIN)/python benchmarks/step.py --repeats 1 $(BENCH_ARGS)
	$(BIN)/python benchmarks/memory.py --methods selfdeblur,l0-gradient --sizes 96,128 --kernel-size 9 $(BENCH_ARGS)
	$(BIN)/python benchmarks/estimates.py --size 96 --kernel-size 9 --steps 10 $(BENCH_ARGS)
	$(BIN)/python benchmarks/series.py --method l0-gradient --frames 5 --compared 2 --side 128 $(BENCH_ARGS)

clean: ## remove what was built, except the virtual environment
	rm -rf build dist demo-output docs/_build docs/generated
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find core napari_deblur plugins tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
