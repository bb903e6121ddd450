# One file of commands. `make train` and `make test` install what is missing into .venv first.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-slow quality style

train: .venv/.installed
	$(BIN)/python train_sft.py --config starter

test: .venv/.installed
	$(BIN)/pytest -m "not slow"

test-slow: outputs/starter/train_results.json .venv/.deepspeed
	$(BIN)/pytest -m slow

quality: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

style: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

outputs/starter/train_results.json: .venv/.installed
	$(MAKE) train

.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test,quality]"
	touch $@

.venv/.deepspeed: .venv/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[deepspeed]"
	touch $@
