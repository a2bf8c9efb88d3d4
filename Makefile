# make demo    the sample clip through the whole program
# make test    everything that needs neither network nor GPU
# make check   what .ci/run checks besides the tests: style, format, types
# Each makes .venv first when it is missing or the requirements changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FLAGS ?=

.PHONY: demo test check mmpose clean

demo: $(VENV)/ready
	$(BIN)/python app.py --overwrite $(DEMO_FLAGS)

test: $(VENV)/ready-dev
	$(BIN)/python -m pytest

check: $(VENV)/ready-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

$(VENV)/ready: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

# The optional MMPose backend (--pose mmpose:CONFIG): versions seen to work, without compiled mmcv.
mmpose: $(VENV)/ready
	$(BIN)/pip install --quiet 'setuptools<81' wheel cython
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --no-binary xtcocotools xtcocotools==1.14.3
	$(BIN)/pip install --quiet --no-deps mmpose==1.1.0 mmcv-lite==2.0.1 mmengine==0.10.7
	$(BIN)/pip install --quiet scipy matplotlib pillow addict pyyaml rich termcolor yapf packaging json_tricks munkres

clean:
	rm -rf $(VENV) outputs runs
