PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow quality train-tiny clean

# The original sam2 package is only the tests' oracle. It builds against the installed torch, hence no isolation.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip setuptools wheel
	$(BIN)/pip install -q -e ".[dev]"
	SAM2_BUILD_CUDA=0 $(BIN)/pip install -q --no-build-isolation -e ".[sam2]" || echo "sam2 is not available: its tests will skip"
	touch $(READY)

demo: $(READY)
	$(BIN)/python examples/demo.py --output runs/demo

test: $(READY)
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

quality: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

train-tiny: $(READY)
	$(BIN)/python examples/train_tiny.py --output runs/tiny

clean:
	rm -rf $(VENV) runs build dist
