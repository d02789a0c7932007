PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Of `demo`: sam2-love, eemc, referformer, simtoken, aural-sam2, sama-avs, gavs, st-bava, avsegformer, tpavi or
# stepping-stones; of `train-tiny`: sam2-love, aural-sam2 or simtoken.
METHOD ?= sam2-love
TINY_sam2-love := runs/tiny
TINY_aural-sam2 := runs/aural-sam2-tiny
TINY_simtoken := runs/simtoken-tiny

.PHONY: demo test test-slow test-transformers quality docs docs-serve notebook train-tiny clean

# The original sam2 package is what tests and benchmarks compare with. It builds against the installed torch, hence no
# isolation.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip setuptools wheel
	$(BIN)/pip install -q -e ".[dev,app]"
	SAM2_BUILD_CUDA=0 $(BIN)/pip install -q --no-build-isolation -e ".[sam2]" || echo "sam2 is not available: its tests will skip"
	touch $(READY)

demo: $(READY)
	$(BIN)/python examples/run_demo.py --method $(METHOD) --out runs/demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m slow

# Exit status 5: all was skipped, as Transformers' tests cannot be had.
test-transformers: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -rs tests/transformers_suite || test $$? -eq 5

quality: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# The outputs that are stored with the notebook, anew.
notebook: $(READY)
	$(BIN)/python docs/run_notebook.py

train-tiny: $(READY)
	$(BIN)/python examples/train_tiny.py --method $(METHOD) --out $(or $(TINY_$(METHOD)),$(error METHOD: train-tiny takes sam2-love, aural-sam2 or simtoken, got $(METHOD)))

clean:
	rm -rf $(VENV) runs build dist
