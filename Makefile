# make demo        the sample clip through the whole program: video, data, viewer, report, motion files
# make demo-light  the same without PyTorch: 0.6 GB instead of 6.6, shipped networks only
# make test        all tests that need neither network nor GPU, without those marked `long`
# make test-long   the tests marked `long`
# make check       style, format, types
# make docs        the documentation, in site/
# Each makes .venv first when it is missing or the requirements changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FLAGS ?=
# Two processes with one thread each are quicker than one with two: most tests are too small for threads.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: demo demo-light test test-long check docs mmpose clean

demo: $(VENV)/ready
	$(BIN)/python app.py --overwrite --export report,bvh,glb,csv,angles $(DEMO_FLAGS)

demo-light: .venv-light/ready
	.venv-light/bin/python app.py --overwrite --quality shipped --export bvh,glb,csv,angles $(DEMO_FLAGS)

test: $(VENV)/ready-dev
	$(TEST)

test-long: $(VENV)/ready-dev
	$(TEST) -m long

check: $(VENV)/ready-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/ready-dev
	$(BIN)/mkdocs build --strict

$(VENV)/ready: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

.venv-light/ready: requirements-light.txt
	$(PYTHON) -m venv .venv-light
	.venv-light/bin/pip install --quiet -r requirements-light.txt
	touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt requirements-cluster.txt requirements-datasets.txt requirements-docs.txt requirements-export.txt requirements-web.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

# The optional MMPose backend (--pose mmpose:CONFIG): versions seen to work, without compiled mmcv.
mmpose: $(VENV)/ready
	$(BIN)/pip install --quiet 'setuptools<81' wheel cython
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --no-binary xtcocotools xtcocotools==1.14.3
	$(BIN)/pip install --quiet --no-deps mmpose==1.1.0 mmcv-lite==2.0.1 mmengine==0.10.7
	$(BIN)/pip install --quiet scipy matplotlib pillow addict pyyaml rich termcolor yapf packaging json_tricks munkres

clean:
	rm -rf $(VENV) .venv-light outputs runs site
