# make demo | test | lint | bench | soak | clean; ARGS="..." goes to pytest or to the demo.
# constraints.txt: `.venv/bin/pip freeze --exclude-editable` after `make lint`, and hatchling with what it needs.

PYTHON ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.beamstream-runtime $(VENV)/.beamstream-test $(VENV)/.beamstream-dev
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.11 python3 python)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint bench soak clean

help:
	@echo 'make demo    a simulated beamline, recorded, archived and read back'
	@echo 'make test    the tests; make test ARGS="-k ring"'
	@echo 'make lint    ruff, pyright, import-linter'
	@echo 'make bench   measurements; make soak: minutes of continuous acquisition'
	@echo 'make clean   remove .venv and caches; recorded data stays'

demo: $(VENV)/.beamstream-runtime
	$(BIN)/beamstream demo $(ARGS)

test: $(VENV)/.beamstream-test
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# the version check of pyright asks the network, each time
lint: $(VENV)/.beamstream-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.beamstream-test
	$(BIN)/pytest -m "benchmark and not soak" -s --timeout=900 $(ARGS)

soak: $(VENV)/.beamstream-test
	$(BIN)/pytest -m soak -s --timeout=3600 $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src devices plans tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.beamstream-runtime: EXTRA := [rheed]
$(VENV)/.beamstream-test: EXTRA := [test]
$(VENV)/.beamstream-dev: EXTRA := [dev]

# An extra includes those before it in STAMPS, so their stamps are renewed with it.
# The two variables pin hatchling as well: pip before 25.3 heeds the first there, later ones the second.
# Importing ophyd and tiled without .pyc files takes five times as long; pip makes them one after the other. Some
# packages have templates among their modules that cannot be compiled.
$(STAMPS): pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'make: installing beamstream$(EXTRA) into $(VENV); the first time takes minutes and 2 GB'
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --no-input \
		--disable-pip-version-check --no-compile --constraint constraints.txt --editable '.$(EXTRA)'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	$(BIN)/python -m compileall -q src devices plans
	@for stamp in $(STAMPS); do touch $$stamp; [ $$stamp != $@ ] || break; done

# Not bin/python: a Python without ensurepip leaves that behind when it fails.
$(BIN)/pip:
	@for candidate in $(CANDIDATES); do \
		path=$$(command -v "$$candidate") || continue; \
		version=$$("$$path" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue; \
		case $$version in \
			3.11.*) \
				if ! "$$path" -c 'import ensurepip, venv' 2>/dev/null; then \
					found="$$found $$path ($$version without venv)"; continue; fi; \
				echo "make: $(VENV) with Python $$version, $$path"; exec "$$path" -m venv $(VENV);; \
			*) found="$$found $$path ($$version)";; \
		esac; \
	done; \
	echo "make: needs Python 3.11 with venv, found$${found:- no Python};" \
		"install it or make PYTHON=/path/to/python3.11" >&2; exit 1
