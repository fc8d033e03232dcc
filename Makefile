# `make demo` and `make test` do all their own set-up, in .venv, on a machine that has Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ON_TWO := -n 2 --dist worksteal -q

.PHONY: demo test slow coverage lint examples package docs benchmarks picture clean help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## grow a network on the digits and say where the pictures are
	$(BIN)/gromo-graph grow specs/digits_mlp.yaml --out runs/demo --force

test: $(READY)  ## the tests, a few minutes at most
	$(BIN)/python -m pytest $(ON_TWO)

slow: $(READY)  ## the tests marked slow: whole trainings
	$(BIN)/python -m pytest $(ON_TWO) -m slow

coverage: $(READY)  ## all tests, the slow ones too, and how much of the code those of `make test` run
	$(BIN)/python -m pytest $(ON_TWO) -m "slow or not slow" --cov=gromo_graph --cov-report=term:skip-covered

lint: $(READY)  ## style, types and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

examples: $(READY)  ## run every example
	@set -e; for example in examples/*.py; do echo "$$example"; $(BIN)/python -W error::DeprecationWarning $$example; done

package: $(READY)  ## build the wheel and the source distribution, check them, and use them outside the project
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	$(BIN)/twine check --strict dist/*
	.ci/use-package dist/*.whl

docs: $(READY)  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

benchmarks: $(READY)  ## print what the figures in the README come from
	@missed=0; for name in cold_start spec compile demo solve statistics growth_step slopes interop checkpoint processes tables; do \
	  echo "benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py || missed=1; done; \
	echo "benchmarks/quality.py (one task of fifteen, one learning rate; benchmarks/README.md has the rest)"; \
	$(BIN)/python benchmarks/quality.py --task "digits 1,000" --rates 0.01 || missed=1; exit $$missed

picture: $(READY)  ## draw the pictures of the README again
	$(BIN)/python docs/pictures.py

clean:  ## remove everything that was made
	rm -rf .venv runs dist .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
