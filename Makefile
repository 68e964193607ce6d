# Needs Python 3.11 or later; all else goes into .venv. `make test` also needs Node.js.

PYTHON ?= python3
BIN := .venv/bin

# Your own data with `make run DATA=folder`; made-up listeners without.
DATA ?= .segue/demo/data
ifneq ($(DATA),.segue/demo/data)
ifneq ($(words $(DATA)),1)
$(error DATA=$(DATA): make cannot take a path with spaces; link to it from one without)
endif
ifeq ($(wildcard $(DATA)/.),)
$(error DATA=$(DATA): there is no such folder)
endif
endif
# Each folder of yours has a state of its own, told apart by its whole path.
STATE := .segue/$(if $(filter .segue/demo/data,$(DATA)),demo,$(notdir $(DATA))-$(shell echo "$(abspath $(DATA))" | cksum | cut -d' ' -f1))
BUNDLE := $(STATE)/bundle

# Lists are complete, and each file is what its hash says. What is imported is compiled then: to
# compile all of PyTorch takes longer than to install it.
INSTALL := install --quiet --disable-pip-version-check
HASHED := $(INSTALL) --require-hashes --no-deps
PIP := $(BIN)/pip
NEWMAN := tests/e2e/node_modules/.bin/newman
LOCKS := layers/runtime/requirements.txt infra/requirements.txt training/requirements.txt

# For every system and Python that the project supports; or for Lambda's.
LOCK := $(CURDIR)/$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url \
	--no-header --no-annotate
LOCK_ALL := $(LOCK) --python-version 3.11 --universal
LOCK_313 := $(LOCK) --python-version 3.13 --python-platform x86_64-manylinux_2_28

.DELETE_ON_ERROR:
.PHONY: run test lint format unit integration runtime e2e fuzz faults deploy-local run-deployed sam-local spark \
	bench notebook pictures audit sbom lock clean

run: $(BUNDLE)/manifest.json  ## Train where need be, and serve on http://127.0.0.1:8000
	@$(BIN)/segue serve --data "$(DATA)" --bundle $(BUNDLE) --state $(STATE)/stack

$(BUNDLE)/manifest.json: $(DATA) $(wildcard $(DATA)/*) | .venv/run
	@$(BIN)/segue train --data "$(DATA)" --out $(BUNDLE)

.segue/demo/data: | .venv/run
	@$(BIN)/segue data demo $@

test: lint unit integration runtime e2e deploy-local  ## Everything that has to hold

lint: .venv/test .venv-sam/done .venv-checkov/done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for app in functions/*/app.py; do $(BIN)/mypy $$app || exit; done
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --min-severity medium .github
	$(BIN)/cfn-lint template.yaml stacks/*.yaml infra/*.yaml
	.venv-sam/bin/sam validate --lint --region us-east-1
	$(BIN)/python -m tests.stacks .venv-checkov/template.json
	.venv-checkov/bin/checkov --config-file tests/checkov.yaml --file .venv-checkov/template.json

unit integration: .venv/test
	$(BIN)/pytest tests/$@ --numprocesses auto --maxprocesses 4

# tests/spark says that it is skipped, since Spark is elsewhere: see the next target.
runtime: .venv/test .venv-sam/done
	$(BIN)/pytest tests/$@ tests/spark --ignore tests/runtime/test_sam_local.py -rs

sam-local: .venv/test .venv-sam/done  ## The README's `sam local`, in containers; a line says where there are none
	$(BIN)/pytest tests/runtime/test_sam_local.py -rs

spark: .venv/test  ## Spark's rows are DuckDB's; without a Java, a line says that this was not looked at
	@if java -version >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory .venv-spark/done && \
		PYTHONPATH=$$(echo .venv-spark/lib/python*/site-packages) $(BIN)/pytest tests/spark -rs; \
	else echo "skipped: Spark needs a Java (apt-get install default-jre-headless)"; fi

e2e: .venv/test $(NEWMAN)
	$(BIN)/pytest tests/$@ -rs

fuzz: .venv/test  ## Thousands of requests to every route: is any answer not as documented?
	$(BIN)/pytest tests/e2e/test_openapi.py --examples 2000 -rs

faults: .venv/test  ## Kills, a full disk, damage, many times each: is anything lost?
	$(BIN)/pytest tests/e2e/test_faults.py --rounds 2 --seed 1 -rs

deploy-local: .venv/test .venv-sam/done .venv-stack/done $(NEWMAN)  ## Deploy onto an emulator of AWS; test that
	$(BIN)/pytest tests/e2e --service deployed -rs

run-deployed: $(BUNDLE)/manifest.json .venv-sam/done .venv-stack/done  ## Deploy likewise, to try it out
	@$(BIN)/python -m infra.deployed --data "$(DATA)" --bundle $(BUNDLE) --state $(STATE)/deployed

pictures: $(BUNDLE)/manifest.json .venv/test  ## Take the README's pictures anew; not beside `make run`
	$(BIN)/python -m infra.pictures

bench: $(BUNDLE)/manifest.json  ## What requests and memory cost on this machine; training not again
	@$(BIN)/segue bench --bundle $(BUNDLE)

notebook: .venv/test  ## Run docs/day.ipynb anew; it keeps what it shows
	$(BIN)/python -m tests.notebook docs/day.ipynb

format: .venv/test  ## Put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: .venv/test  ## Known vulnerabilities of what is deployed; fails where nobody can say
	$(BIN)/python -m infra.audit

sbom: .venv-sam/done  ## Of what `sam build` has left: every component, as CycloneDX
	.venv-sam/bin/python infra/sbom.py .aws-sam/build .aws-sam/sbom.cdx.json

lock: .venv/test  ## Renew the locked versions
	cd layers/runtime && $(LOCK_ALL) requirements.in --output-file requirements.txt
	cd layers/stats && $(LOCK_ALL) requirements.in --output-file requirements.txt
	cd infra && $(LOCK_ALL) requirements.in --output-file requirements.txt
	cd infra/deployed && $(LOCK_313) requirements.in --output-file requirements.txt
	cd training && $(LOCK_ALL) requirements.in --output-file requirements.txt
	cd training/peers && $(LOCK_ALL) requirements.in --output-file requirements.txt
	$(BIN)/python -m infra.locks training/peers/requirements.txt training/requirements.txt
	cd training/peers && $(LOCK_ALL) sansa.in --output-file sansa.txt
	cd tests && for list in requirements sam checkov spark; do \
		$(LOCK_ALL) $$list.in --output-file $$list.txt || exit; done
	cd tests/runtime && $(LOCK_313) requirements.in --output-file requirements.txt

.venv/run: $(LOCKS) training/torch-cpu.txt training/torch-pypi.txt pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Segue needs Python 3.11 or later; this is " + sys.version.split()[0])'
	@echo "Installing what Segue needs into .venv (once; PyTorch is the large part) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) $(HASHED) --no-compile $(LOCKS:%=--requirement %)
	@# PyTorch: the small build for CPUs, where an index of this machine has it; else PyPI's.
	@$(PIP) $(HASHED) --no-compile --requirement training/torch-cpu.txt 2>/dev/null || \
		$(PIP) $(HASHED) --no-compile --requirement training/torch-pypi.txt
	@$(PIP) $(INSTALL) --no-deps --no-build-isolation --editable . --editable clients/python
	@touch $@

.venv/test: .venv/run tests/requirements.txt
	@$(PIP) $(HASHED) --no-compile --requirement tests/requirements.txt
	@touch $@

# The SAM command line and checkov pin releases of their own, and Spark is large: they live apart.
.venv-sam/done .venv-checkov/done .venv-spark/done: .venv-%/done: tests/%.txt | .venv/run
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip $(HASHED) --requirement tests/$*.txt
	@touch $@

# What the functions run in when they are deployed on this machine: their own Python, or nothing.
.venv-stack/done: infra/deployed/requirements.txt
	@sh layers/python313.sh -m venv .venv-stack \
	&& .venv-stack/bin/pip $(HASHED) --requirement $< \
	&& touch $@ || test $$? -eq 69

$(NEWMAN): tests/e2e/package.json tests/e2e/package-lock.json
	npm ci --prefix tests/e2e --no-audit --no-fund
	@touch $@

clean:  ## Remove all that was made, the local state included
	rm -rf .venv .venv-sam .venv-stack .venv-checkov .venv-spark .venv-peers .segue .aws-sam tests/e2e/node_modules
