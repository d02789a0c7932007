PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Of `demo`: sam2-love, aural-sam2, sama-avs, gavs or st-bava; of `train-tiny`: one of the first two.
METHOD ?= sam2-love
TRAIN_TINY_sam2-love := train_tiny.py --output runs/tiny
TRAIN_TINY_aural-sam2 := train_aural_sam2.py --output runs/aural-sam2-tiny

.PHONY: demo test test-slow quality docs train-tiny clean

# The original sam2 package is what tests and benchmarks compare with. It builds against the installed torch, hence no
# isolation.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip setuptools wheel
	$(BIN)/pip install -q -e ".[dev,app]"
	SAM2_BUILD_CUDA=0 $(BIN)/pip install -q --no-build-isolation -e ".[sam2]" || echo "sam2 is not available: its tests will skip"
	touch $(READY)

demo: $(READY)
ifeq ($(METHOD),sam2-love)
	$(BIN)/python examples/demo.py --output runs/demo
else
	$(BIN)/python examples/demo_audio.py --method $(METHOD) --output runs/demo
endif

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

quality: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

train-tiny: $(READY)
	$(BIN)/python examples/$(or $(TRAIN_TINY_$(METHOD)),$(error METHOD: train-tiny takes sam2-love or aural-sam2, got $(METHOD)))

clean:
	rm -rf $(VENV) runs build dist
