# One file of commands. `make train` and `make test` install what is missing into .venv first.

PYTHON ?= python3
BIN := .venv/bin
NEWEST := .venv-newest/bin
# A file of tests goes to one of two processes: its fixtures are made once.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile
LIBRARIES := transformers trl peft accelerate datasets

.PHONY: train test test-slow test-newest gpu-bundle quality style docs

train: .venv/.installed
	$(BIN)/python train_sft.py --config starter

test: .venv/.installed
	$(PYTEST) -m "not slow"

test-slow: outputs/starter/train_results.json .venv/.slow
	$(PYTEST) -m slow

# Upper bounds in setup.cfg move when this passes. It needs the package registry, and .venv-newest for itself.
test-newest: .venv-newest/.installed
	$(NEWEST)/pip install --quiet --upgrade $(LIBRARIES) $$(grep ^torch== constraints.txt)
	$(NEWEST)/pip list | grep -E "^($$(echo $(LIBRARIES) torch | tr ' ' '|')) "
	$(NEWEST)/pytest -W error::FutureWarning tests/hub_card/test_whole_way.py
	$(NEWEST)/pytest -W error::FutureWarning -m "not slow" tests/modeling_textgenome
	$(NEWEST)/pytest tests/modeling_textgenome/test_quantized_and_offloaded.py
	rm -rf outputs/newest && $(NEWEST)/textgenome export tests/tiny_checkpoint outputs/newest
	$(NEWEST)/python benchmarks/transformers_versions.py outputs/newest

# For a machine with a GPU, torch and no network: unpack it there, and run benchmarks/gpu.sh. GPU_PYTHON is that of the machine.
GPU_PYTHON ?= 3.12
gpu-bundle: .venv/.installed
	sh benchmarks/gpu_bundle.sh $(GPU_PYTHON)

# The site, in site/. A broken link or reference fails. It reads the code without importing it, so it needs no torch.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

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

.venv-docs/.installed: setup.cfg
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet $$(sed -n '/^docs =/,/^[a-z]* =$$/p' setup.cfg | grep '^    ')
	touch $@

.venv-newest/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-newest
	$(NEWEST)/pip install --quiet --constraint constraints.txt --editable ".[test,quantization]"
	touch $@

# Not for `make test` and `make train`: libraries import torchao where it is, which slows every start.
.venv/.slow: .venv/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[deepspeed,quantization]"
	touch $@
