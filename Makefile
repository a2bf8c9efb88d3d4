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

$(VENV)/ready: requirements.txt requirements-nodeps.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	$(BIN)/pip install --quiet --no-deps -r requirements-nodeps.txt
	touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) outputs runs
