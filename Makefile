# Each target is one readable line; README.md shows the same lines for those without make.
PYTHON ?= python3
VENV = .venv/bin

demo: .venv/ready            ## start the app on the embedded model and print its address
	$(VENV)/python app.py

test: .venv/tests tests/node_modules  ## the whole suite
	$(VENV)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test-3.12: tests/node_modules ## the suite on the Python that Spaces run, in an environment of its own
	python3.12 -m venv .venv-3.12 && .venv-3.12/bin/pip install -q -r tests/requirements.txt && .venv-3.12/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal

check: .venv/tests           ## format, lint, types
	$(VENV)/ruff format --check . && $(VENV)/ruff check . && $(VENV)/mypy

assets: .venv/ready          ## what is derived from the shipped checkpoint: pictures, sample gallery, model card
	$(VENV)/python -m sugar assets

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv && $(VENV)/pip install -q -r requirements.txt && touch $@

.venv/tests: requirements.txt tests/requirements.txt sugar/cluster/requirements.txt
	$(PYTHON) -m venv .venv && $(VENV)/pip install -q -r tests/requirements.txt && touch $@ .venv/ready

tests/node_modules: tests/package.json
	npm install --prefix tests --no-package-lock --no-audit --no-fund --silent && touch $@

.PHONY: demo test test-3.12 check assets
