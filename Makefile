# The only place where a command is spelt out; CI and pre-commit call it. A bare `make` lists the targets.
PYTHON ?= python3.12
BIN := .venv/bin
READY := .venv/.ready
DEMO := demo
BUNDLE ?= $(DEMO)/bundle
RUN ?= $(DEMO)/run
SBOM ?= sbom.cdx.json
# 900 drawn films, of which 270 are held out: int8 is proposed on 256 or more, where the processor has instructions for
# it. A small network from random weights; disturbed films would take it many more epochs.
DEMO_FILMS := 900
DEMO_RECIPE := --arch resnet10 --weights none --epochs 5 --batch 16 --disturb 0
DEMO_INT8 := 20

ENGINE := tf_serve/server/page/engine

# Two workers; tests that share a bundle or a server share a worker (tests/conftest.py).
PYTEST := $(BIN)/python -m pytest -q
WORKERS := -n 2 --dist loadgroup --no-loadscope-reorder

PIP_QUIET := --disable-pip-version-check --progress-bar off
# Where every package has a wheel, no setup script of another project runs. (onnxoptimizer has none for ARM.)
WHEELS := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),--only-binary :all:)
# Versions stay as they are locked, which is as they were measured, until a bound of pyproject.toml or UPGRADE moves them:
# make lock UPGRADE='--upgrade-package pillow'. The first file holds every extra that the others are then held to.
EXTRAS := serve dicom tflite train convert timm hf sign dicom-gpl grpc otel tensorboard mlflow hub score hospital ray ray-cluster
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url \
  --no-header --annotation-style line

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-fast test-gpu test-page client lint docs fmt parity mutants bench deploy-check sbom lock clean setup

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## build .venv with everything in it

$(READY): pyproject.toml lock/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is not Python 3.12"; \
	  echo "  why: onnx2tf 2.x runs on 3.12 and newer, and the pinned set was measured on 3.12"; \
	  echo "  fix: install it (pyenv install 3.12, apt-get install python3.12-venv, python.org) or: make PYTHON=/path/to/python3.12"; \
	  exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(PIP_QUIET) --require-hashes $(WHEELS) -r lock/dev.txt
	$(BIN)/pip install $(PIP_QUIET) --no-deps --no-index --no-build-isolation -e .
	@touch $@

demo: $(DEMO)/bundle/manifest.json ## draw films, train, convert, verify, answer films: a few minutes after the installation
	$(BIN)/tbconv verify $(DEMO)/bundle --quick
	$(BIN)/tbconv predict $(DEMO)/bundle $(DEMO)/films/image/synthetic-100[1-6].png --overlay $(DEMO)/overlay
	@echo
	@echo "certificate: $(DEMO)/bundle/certificate.html (drawn films, of no person)"
	@echo "maps:        $(DEMO)/overlay"
	@echo "page:        $(BIN)/tbconv serve $(DEMO)/bundle, then http://127.0.0.1:8080"
	@echo "next:        $(BIN)/tbconv data check YOUR_FILMS"

$(DEMO)/films/SYNTHETIC.txt: | $(READY)
	$(BIN)/tbconv data phantom $(DEMO)/films --n $(DEMO_FILMS)

$(DEMO)/run/run.json: $(DEMO)/films/SYNTHETIC.txt
	$(BIN)/tbconv train --data $(DEMO)/films --out $(DEMO)/run $(DEMO_RECIPE) $(if $(wildcard $(DEMO)/run/checkpoint.pt),--resume)

$(DEMO)/bundle/manifest.json: $(DEMO)/run/run.json
	$(BIN)/tbconv convert $(DEMO)/run --out $(DEMO)/bundle --int8-budget $(DEMO_INT8)

test: $(READY) ## what must pass before a change lands: the true ResNet50 through every format once (10 minutes)
	$(PYTEST) $(WORKERS) --durations=10 -m 'not slow' --ignore=tests/page

test-fast: $(READY) ## the same without the true ResNet50
	$(PYTEST) $(WORKERS) -m 'not slow and not chain' --ignore=tests/page

test-all: $(READY) ## every test: clean environments, foreign clients, thousands of faults, whole conversions (20 minutes)
	$(PYTEST) $(WORKERS) --durations=25

test-page: $(READY) ## the page in headless Chromium; skipped, and said so, where there is none (apt-get install chromium)
	$(PYTEST) tests/page

client: ## build the npm package, put the same engine into the page that tbconv page ships, pack it into client/ (npm, Node.js 20)
	cd client && npm ci --ignore-scripts --no-audit --no-fund && npm pack
	mkdir -p $(ENGINE) && cp $(addprefix client/dist/,index.js litert.wasm jpeg.wasm NOTICES.txt) $(ENGINE)/

test-gpu: ## the tests that need CUDA; where there is no .venv, with python3 and the packages that it has
	$(if $(wildcard $(BIN)/python),$(BIN)/python,python3) -m pytest -q -m gpu

lint: $(READY) ## ruff, mypy strict, import boundaries, the documentation's site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docs: $(READY) ## the documentation as a site, at http://127.0.0.1:8000, built again as pages change (make lint leaves it in build/site)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --strict

fmt: $(READY) ## format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

parity: $(READY) ## measure a bundle again: make parity BUNDLE=path
	$(BIN)/tbconv verify $(BUNDLE)

mutants: $(READY) ## inject faults into conversions, see that a check catches each, write docs/mutants.md
	$(BIN)/python -m benchmarks.fault_injection --resnet50 3

bench: $(READY) ## conversion against onnx2tf, latency against other runtimes: make bench RUN=path BUNDLE=path (25 quiet minutes)
	-$(BIN)/python -m benchmarks.convert $(RUN)
	$(BIN)/python -m benchmarks.latency $(BUNDLE) --install-peers .peers

deploy-check: $(READY) ## the image's steps without Docker, its command started, its manifests read: make deploy-check BUNDLE=path
	$(BIN)/python -m deploy.check $(BUNDLE)

sbom: $(READY) ## what the image holds, as CycloneDX JSON: make sbom SBOM=path (builds the image's environment, without Docker)
	$(BIN)/python -m deploy.check --sbom $(SBOM)

lock: $(READY) ## resolve pyproject.toml again and write lock/*.txt, with the hashes of all archives of each version
	$(COMPILE) $(UPGRADE) --extra dev pyproject.toml -o lock/dev.txt
	for extra in $(EXTRAS); do $(COMPILE) --extra $$extra pyproject.toml -c lock/dev.txt -o lock/$$extra.txt || exit; done
	$(COMPILE) --group pyproject.toml:build -c lock/dev.txt -o lock/build.txt

clean: ## remove the environment, caches and the demo
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache $(DEMO) .peers *.egg-info build
