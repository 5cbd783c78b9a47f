# Everything that a fresh checkout needs. `make` alone lists the targets.
#
#   make book                 set up (once), run the notebooks, build the book
#   make book PROFILE=tiny    the same in seconds a notebook, to see that all parts work
#   make test                 set up (once), run the tests

PROFILE   ?= quick
BOOK_ARGS ?=
TEST_ARGS ?= -n auto --maxprocesses=4 --dist=loadfile
LAB_ARGS  ?=
# LOCK=- installs without the pins: the newest versions that pyproject.toml admits.
LOCK      ?= requirements.lock

VENV  := .venv
STAMP := $(VENV)/.set-up
BIN   := $(CURDIR)/$(VENV)/bin
PINS  := $(filter-out -,$(LOCK))
PIP   := "$(BIN)/python" -m pip install --disable-pip-version-check $(if $(PINS),-c "$(PINS)")
RUN   := PATH="$(BIN):$$PATH"
PROSE := README.md CHANGELOG.md CONTRIBUTING.md CITATION.cff Makefile _config.yml \
         $(wildcard book/*.md book/*/*.md book/static/*.css)

.DEFAULT_GOAL := help
.PHONY: help setup book test lab lint lock clean distclean

help:  ## list the targets
	@echo "unmix: a companion book to five papers on music source separation"
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
	    awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo
	@echo "  PROFILE=$(PROFILE)      how much is run: tiny, quick or full"
	@echo "  UNMIX_DATA=DIR     folder that holds the real datasets (optional)"

setup: $(STAMP)  ## make .venv/ and install the pinned packages (the others do it when needed)

# Runs once, and again when what is to be installed has changed. PYTHON=... chooses the interpreter.
$(STAMP): pyproject.toml $(PINS)
	@set -e; start=$$(date +%s); \
	if ! "$(BIN)/python" -m pip --version >/dev/null 2>&1; then \
	    found=; \
	    for python in $(PYTHON) python3 python python3.13 python3.12 python3.11; do \
	        if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	            found=$$python; break; \
	        fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "No Python 3.11 or newer was found. Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	        exit 1; \
	    fi; \
	    echo "== Set-up: making $(VENV)/ with $$("$$found" --version)"; \
	    rm -rf "$(VENV)"; \
	    "$$found" -m venv "$(VENV)" || { \
	        rm -rf "$(VENV)"; \
	        echo "Python's venv module did not work (Debian and Ubuntu: install python3-venv)." >&2; \
	        exit 1; \
	    }; \
	fi; \
	echo "== Set-up: installing torch into $(VENV)/ (the largest part)"; \
	$(PIP) torch; \
	echo "== Set-up: installing unmix and some 200 packages that it rests on (a few minutes, silently)"; \
	$(PIP) --quiet -e '.[dev,cluster]'; \
	"$(BIN)/python" -c 'import torch; print("== Set-up: torch", torch.__version__ + ",", "GPU ready" if torch.cuda.is_available() else "no GPU")'; \
	touch "$@"; \
	echo "== Set-up: done in $$(( $$(date +%s) - start )) s"

book: $(STAMP)  ## run the notebooks and build the book (PROFILE=tiny, quick or full)
	@set -e; start=$$(date +%s); \
	echo "== Book: running the notebooks and building the pages, profile $(PROFILE)"; \
	$(RUN) unmix book --profile "$(PROFILE)" $(BOOK_ARGS); \
	echo "== Book: done in $$(( $$(date +%s) - start )) s. Open $(CURDIR)/_build/html/index.html"

test: $(STAMP)  ## run the tests (TEST_ARGS='-k store' picks some)
	@set -e; start=$$(date +%s); \
	echo "== Tests: pytest $(TEST_ARGS)"; \
	$(RUN) python -m pytest $(TEST_ARGS); \
	echo "== Tests: done in $$(( $$(date +%s) - start )) s"

lab: $(STAMP)  ## open JupyterLab on the notebooks, with the kernel ready
	@echo "== Lab: starting JupyterLab; leave it with Ctrl-C"
	@$(RUN) JUPYTER_PREFER_ENV_PATH=1 jupyter lab --ServerApp.root_dir="$(CURDIR)" \
	    --LabApp.default_url=/lab/tree/notebooks $(LAB_ARGS)

lint: $(STAMP)  ## check style (ruff), types (mypy) and spelling (codespell)
	@echo "== Lint: ruff, mypy, codespell"
	@$(RUN) ruff check src tests benchmarks
	@$(RUN) ruff format --check --quiet src tests benchmarks
	@$(RUN) mypy
	@$(RUN) codespell src tests benchmarks $(PROSE)

lock: $(STAMP)  ## write requirements.lock anew from what is installed in .venv/
	@{ sed -n '/^#/p' requirements.lock; \
	    "$(BIN)/python" -m pip freeze --exclude-editable | sed -e '/^#/d' -e 's/+[A-Za-z0-9.]*$$//'; \
	} > requirements.lock.new && mv requirements.lock.new requirements.lock
	@echo "== Lock: $$(grep -c == requirements.lock) packages pinned in requirements.lock"

clean:  ## remove the built book and the tools' caches; stored runs and .venv/ stay
	@rm -rf _build build dist .pytest_cache .mypy_cache .ruff_cache
	@find src tests notebooks -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	@echo "== Clean: _build/ and caches removed; stored runs and $(VENV)/ kept"

distclean: clean  ## as clean, and remove .venv/ too
	@rm -rf "$(VENV)"
	@echo "== Clean: $(VENV)/ removed"
