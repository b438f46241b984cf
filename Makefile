# make setup   a virtual environment in .venv with everything in it
# make test    setup, then lint and all tests
# make pytest  setup, then all tests
# make quick   setup, then the tests that take no more than a second or two each
# make lint    setup, then ruff, formatting, the direction of imports, types
# make demo    setup, then data, training, evaluation and pictures
# make clean   remove the environment and caches; data and results stay

SHELL := /bin/bash
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV ?= .venv
TORCH ?= 2.14.1
TORCHVISION ?= 0.29.1
# Where a missing detectron2 comes from: any, official or archive (python tools/install_detectron2.py --help).
DETECTRON2 ?= any
DEFORM_ATTN := torch-ms-deform-attn==0.1.1
PYTEST_WORKERS ?= 2

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# One stamp per step, written when the step is done: an interrupted set-up goes on where it stopped.
STAMPS := $(VENV)/.done

# Small operations lose a hundredfold when threads spin while they wait for a shared core.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup test pytest quick lint demo clean
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(STAMPS)/deform-attn $(STAMPS)/project
	@$(PY) tools/show_environment.py

test: lint pytest

# The tests run in several processes, so each has one thread.
pytest: export OMP_NUM_THREADS := 1
pytest: setup
	$(PY) -m pytest -n $(PYTEST_WORKERS) --dist loadfile

quick: export OMP_NUM_THREADS := 1
quick: setup
	$(PY) -m pytest -n $(PYTEST_WORKERS) --dist loadfile -m "not slow" -q

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

demo: export OMP_NUM_THREADS ?= 1
demo: setup
	$(PY) tools/demo.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the steps of the set-up, each after the one before ----

$(STAMPS)/venv:
	@python=; for name in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	    if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo "No Python 3.11 or newer found; name one: make setup PYTHON=/path/to/python"; exit 1; fi; \
	echo "== virtual environment in $(VENV) ($$($$python --version))"; \
	$$python -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# Another TORCH or TORCHVISION is another stamp: all that is built against torch is then built again.
$(STAMPS)/torch-$(TORCH)-$(TORCHVISION): $(STAMPS)/venv
	@echo "== PyTorch $(TORCH) (some GB with its CUDA libraries)"
	$(PIP) install torch==$(TORCH) torchvision==$(TORCHVISION) 'setuptools>=70.1' wheel ninja
	@$(PY) -c 'import torch, torchvision' || { echo "PyTorch is damaged (an interrupted installation?): make clean"; exit 1; }
	@rm -f $(STAMPS)/torch-* && touch $@

$(STAMPS)/detectron2: $(STAMPS)/torch-$(TORCH)-$(TORCHVISION) $(wildcard projects/diffu_base/commands/*detectron2*.py)
	@echo "== detectron2"
	@$(PY) tools/install_detectron2.py --source $(DETECTRON2)
	@touch $@

# --no-cache-dir: pip would reuse a build against another torch. Without a compiler the project works, only slower.
$(STAMPS)/deform-attn: $(STAMPS)/torch-$(TORCH)-$(TORCHVISION)
	@echo "== compiled deformable attention ($(DEFORM_ATTN), builds for some minutes)"
	@$(PIP) install --no-build-isolation --no-deps --no-cache-dir --force-reinstall $(DEFORM_ATTN) >$(VENV)/deform-attn.log 2>&1 \
	    || { $(PIP) uninstall --quiet --yes $(firstword $(subst ==, ,$(DEFORM_ATTN))) 2>/dev/null; \
	    echo "$(DEFORM_ATTN) did not build here (see $(VENV)/deform-attn.log; to try again: rm $@): going on in pure PyTorch"; }
	@touch $@

$(STAMPS)/project: $(STAMPS)/detectron2 setup.py pyproject.toml projects/diffu_base/version.py
	@echo "== this project and its dependencies"
	@$(PIP) install --quiet -e '.[demo,test]'
	@touch $@
