# Everything a fresh clone needs; `make` alone lists it. Set-up is requirements/install.sh.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
RUN := $(BIN)/codellama-jax
EVALUATION := --gin_file=configs/evaluations/quickstart.gin
PYTEST_OPTIONS ?=

.PHONY: help setup setup-dev system-check quickstart quickstart-hosts quickstart-rehearsal \
  self-instruct ablations test test-slow torture notebooks docs lint format goldens reference lock clean

help: ## list these targets
	@echo "codellama-jax: make TARGET, where TARGET is one of"
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' Makefile | expand -t 16

setup: ## make .venv from requirements/runtime.lock (PYTHON=its/path, EXTRAS=tpu)
	@requirements/install.sh runtime

setup-dev: ## the same with what tests need, requirements/dev.lock
	@requirements/install.sh dev

system-check: ## look for the system packages that help
	@command -v bwrap >/dev/null || echo "bubblewrap is missing, so generated programs" \
	  "will not be run: sudo apt-get install bubblewrap"

quickstart: setup system-check ## corpus, every phase, evaluation and report; continues if stopped
	@: $(eval STARTED := $(shell date +%s))
	$(RUN) prepare --gin_file=configs/corpora/quickstart.gin
	$(RUN) train --gin_file=configs/runs/quickstart.gin
	$(RUN) evaluate $(EVALUATION)
	$(RUN) report $(EVALUATION)
	@took=$$(( $$(date +%s) - $(STARTED) )); \
	  echo "quickstart: $$(( took / 60 )) min $$(( took % 60 )) s after set-up; the report:"
	@ls $(CURDIR)/runs/quickstart/report.{html,md,json}

quickstart-hosts: setup ## its training as two processes, as on two hosts of a pod
	$(RUN) prepare --gin_file=configs/corpora/quickstart.gin
	$(BIN)/python -m launch local --processes=2 --devices=1 -- $(RUN) train \
	  --gin_file=configs/runs/quickstart.gin \
	  --gin_bindings='train.run_dir = "runs/quickstart_hosts"'

quickstart-rehearsal: setup system-check ## its instruct phase without rehearsal, beside it in the report
	$(RUN) prepare --gin_file=configs/corpora/quickstart.gin
	$(RUN) train --gin_file=configs/runs/quickstart_without_rehearsal.gin
	$(RUN) evaluate $(EVALUATION)
	$(RUN) report $(EVALUATION)

self-instruct: setup system-check ## questions, tests, solutions, execution; with known answers
	$(RUN) self-instruct --gin_file=configs/instruct/quickstart.gin

test: setup-dev system-check lint ## lint, then every test that is not slow
	@$(BIN)/python -m pytest -m "not slow" -n logical --maxprocesses=4 --dist=loadfile $(PYTEST_OPTIONS)

test-slow: setup-dev system-check ## the tests that take minutes
	@$(BIN)/python -m pytest -m slow $(PYTEST_OPTIONS)

torture: setup ## disturb a run of two processes thirty times and ask for the undisturbed result
	@$(BIN)/python benchmarks/torture.py

ablations: setup ## the paper's findings in miniature, an hour at most; continues if stopped
	@[ -e corpora/quickstart/manifest.json ] || $(RUN) prepare --gin_file=configs/corpora/quickstart.gin
	@for name in infilling rope_base start natural_language; do \
	  $(RUN) sweep --gin_file=configs/sweeps/ablation_$$name.gin; done
	@$(BIN)/python benchmarks/ablations.py

notebooks: setup ## open notebooks/ in JupyterLab, over corpora/ and runs/ of this folder
	@$(BIN)/python -c "import jupyterlab, ipykernel" 2>/dev/null || \
	  $(BIN)/pip install -q -c requirements/runtime.lock -e ".[notebooks]"
	@$(BIN)/jupyter lab notebooks

docs: setup ## build the pages of docs/ into site/, warnings being errors
	@$(BIN)/python -c "import material" 2>/dev/null || \
	  $(BIN)/pip install -q -c requirements/runtime.lock -e ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "wrote $(CURDIR)/site/index.html"

lint: setup-dev ## check style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: setup-dev ## put style right
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

goldens: setup-dev ## write tests/golden/ anew: what each shipped run resolves to
	@$(BIN)/python tests/goldens.py

reference: setup-dev ## write docs/gin_reference.md anew from the docstrings
	@$(BIN)/python docs/gin_reference.py

lock: ## resolve setup.py into requirements/*.lock (UPGRADE=1: newest versions)
	@requirements/lock.sh

clean: ## remove .venv and caches; corpora/ and runs/ stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
