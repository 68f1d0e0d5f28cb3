# Every target sets up what it needs, so that it works on a fresh clone of a fresh machine.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

APP ?= wordpress
export STACKYARD_CACHE ?= $(HOME)/.cache/stackyard
# A venv's own commands first; the Python of a caller's environment must not leak in.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Packer reports nothing to its maker.
export CHECKPOINT_DISABLE := 1
unexport PYTHONPATH PYTHONHOME

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 16

.PHONY: setup
setup: ## Install what is missing for the playbooks (Debian packages, .venv)
	@tools/setup controller

.PHONY: setup-machines
setup-machines:
	@tools/setup controller machines

.PHONY: setup-browser
setup-browser:
	@tools/setup controller machines browser

.PHONY: packer
packer: setup ## Obtain Packer and its plugins (PATH, or built once into the cache)
	@tools/packer/obtain

.PHONY: demo
demo: setup-machines packer ## Run APP (default wordpress) on the local cloud and print its address
	@python -m demo up $(APP)

.PHONY: demo-down
demo-down: ## Remove the demo and its local cloud without a trace
	@if [ -x .venv/bin/python ]; then python -m demo down; fi

# Each suite leaves its results in a file of its own, for the sum at the end. And it has a standard input of its own: make would
# give those that run side by side one together, and where one of them makes it non-blocking, ansible refuses to run in the others.
PYTEST = </dev/null python -m pytest --junitxml=build/results/$@.xml

.PHONY: test
test: ## Run every test, and a third of the long ones
	@rm -rf build/results
	@status=0; $(MAKE) suites || status=$$?; \
	if [ -d build/results ]; then python tests/support/results.py build/results; fi; exit $$status

# Side by side what alone would leave a processor idle; what works all the time gives way to what waits for machines.
.PHONY: suites
suites:
	$(MAKE) setup-browser packer base-image
	$(MAKE) --jobs=2 lint unit
	$(MAKE) --jobs=3 modules molecule
	$(MAKE) e2e

.PHONY: lint
lint: setup packer changelog collection ## ansible-lint, yamllint, ruff, mypy, packer fmt and validate, changelog, archive
	ruff check .
	ruff format --check .
	mypy
	yamllint --strict .
	ansible-lint --offline </dev/null
	tools/packer/check

.PHONY: unit
unit: setup ## Filters, specs against defaults, parts of the local cloud without machines
	$(PYTEST) --numprocesses=2 tests/unit

.PHONY: modules
modules: setup ## Own modules and cloud roles against the control plane alone (no root)
	nice $(PYTEST) --numprocesses=2 --maxschedchunk=1 tests/modules

# Apart from `test`, because a machine may well have no Python 3.11.
.PHONY: test-oldest
test-oldest: export STACKYARD_VENV := .venv-oldest
test-oldest: export STACKYARD_PYTHONS := 3.11
test-oldest: ## Plugins and the stack in check mode with the oldest Ansible and Python (ansible-core 2.19, 3.11)
	@tools/setup controller
	.venv-oldest/bin/python -m pytest tests/unit/plugins tests/modules/test_oldest.py

.PHONY: base-image
base-image: setup-machines
	@localcloud base-image debian-13

SCENARIOS := $(patsubst molecule/%/molecule.yml,molecule-%,$(wildcard molecule/*/molecule.yml))

.PHONY: molecule $(SCENARIOS)
molecule: $(SCENARIOS) ## Machine roles on real systemd machines (SUITE=debian-13 or debian-12)

$(SCENARIOS): molecule-%: base-image
	molecule/run $*

# A process takes the next folder when it has done one: the longest come first, so that both end at about the same time.
.PHONY: e2e
e2e: setup-browser packer base-image ## Whole stacks on the local cloud, in a browser where a person would look
	$(PYTEST) --numprocesses=2 --dist=loadscope --no-loadscope-reorder \
		tests/stacks/wordpress tests/stacks/jenkins tests/localcloud tests/stacks/etherpad

.PHONY: real-kernel
real-kernel: packer base-image ## A baked image on a kernel of its own, in QEMU (emulated where there is no KVM)
	$(PYTEST) tests/real_kernel

.PHONY: soak
soak: real-kernel setup-browser packer ## The long trials, a kernel of its own, and molecule on Debian 12
	SUITE=debian-12 molecule/run
	STACKYARD_SOAK=1 python -m pytest tests/unit/lease tests/unit/jenkins tests/modules/test_stacks.py \
		tests/modules/test_cut_and_rerun.py tests/modules/test_wrong_inputs.py tests/localcloud/test_bake.py \
		tests/localcloud/test_bake_cost.py tests/localcloud/test_image_publish.py tests/stacks

.PHONY: changelog
changelog: setup ## Check the changelog fragments
	antsibull-changelog lint

.PHONY: collection
collection: setup ## Build the collection's archive into build/
	ansible-galaxy collection build --force --output-path build </dev/null
