# SPDX-License-Identifier: GPL-2.0-or-later
# kvmlog. Each target is one line to explain; what it takes stands in scripts/.

PYTHON := .venv/bin/python
GUEST := build/guest/kvmlog-guest
NESTED := build/guest/kvmlog-nested
GUEST_SOURCES := $(addprefix tests/guest/,main.c machine.c interrupt.c code.S)
PAYLOAD := build/guest/payload.rom
RECEIVER := build/diskless/kvmlog-receiver
RECEIVER_SOURCES := $(addprefix tests/vm/diskless/,receiver.c genl.c)
INTEL := $(addprefix build/intel/,boot.bin kvmlog-port kvmlog-vmx-guest)

# vm-ssh without CMD is a shell.
SSH_COMMAND := $(if $(filter undefined,$(origin CMD)),,-c "$$CMD")
# For vm-sh.
KERNEL ?= 6.1
CPUS ?=
MEMORY ?= 2G
ICOUNT ?=
CMD ?= uname -a
# As it was typed: the dollars in it are for the VM's shell.
override CMD := $(value CMD)
export CMD

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r target text; do \
		printf '  make %-12s %s\n' "$$target" "$$text"; done

setup: ## install what run, test and lint take, and build everything; a second run takes seconds
	@scripts/setup

run: ## set up, then show live exits of a guest: here, or in a VM where this kernel cannot
	@scripts/run

check: ## what to run after each change, two minutes: lint, and the unit tests
	@scripts/check

test: ## set up, then run all tests (unit, system, in VMs with real kernels)
	@scripts/setup test
	$(PYTHON) -m pytest

test-unit: ## only the tests that need no VM
	@scripts/setup test
	$(PYTHON) -m pytest tests/unit tests/system

test-vm: ## only the tests in VMs; KVMLOG_KERNELS=6.1 limits what runs inside to one kernel
	@scripts/setup test
	$(PYTHON) -m pytest tests/vm

test-intel: ## only the tests on an Intel CPU, in Bochs, which is built the first time
	@scripts/setup test
	$(PYTHON) -m pytest tests/vm/intel

vm: ## set up, then a shell in a VM where kvmlog traces a guest; KERNEL=6.1, CPUS=2, MEMORY=2G
	@scripts/setup test
	@$(PYTHON) -m scripts.vm.interactive --kernel '$(KERNEL)' --memory '$(MEMORY)' $(if $(CPUS),--cpus '$(CPUS)')

vm-sh: ## run CMD='...' in a VM; KERNEL=6.1, CPUS=2, MEMORY=2G, ICOUNT=1 (counts instructions)
	@$(PYTHON) -m scripts.vm --kernel '$(KERNEL)' --memory '$(MEMORY)' \
		$(if $(CPUS),--cpus '$(CPUS)') $(if $(filter 1,$(ICOUNT)),--icount) -- "$$CMD"

vm-ssh: ## run CMD='...' in Vagrant's VM (a shell without CMD); an oops of its kernel is shown
	@cd vagrant && vagrant ssh $(SSH_COMMAND)

vm-reload: ## bring changed sources to life in Vagrant's VM: module, program, services; an oops is shown
	@cd vagrant && vagrant rsync && vagrant ssh -c 'cd /kvmlog && sudo vagrant/reload.sh'

vm-console: ## show the console of Vagrant's VM as it grows, until Ctrl-C
	@tail -n 50 -F "build/vagrant/$${KVMLOG_VM:-kvmlog-dev}.console"

build/vagrant/kvmlog-%.box: vagrant/make-box vagrant/box-customize vagrant/packages.txt
	@vagrant/make-box $*

test-vagrant: ## build the Vagrant box and test the VM with it: up, demo, reload, crash, halt, destroy
	@scripts/setup test
	@vagrant/setup
	$(PYTHON) -m pytest tests/vagrant

kmod: ## build kvmlog.ko and the test modules for every fetched kernel, into build/kmod/VERSION
	@scripts/build-kmod

kmod-matrix: ## build them for kernels of other suites too, 5.10 to 7.3 and -rt; fetches 2 GB once
	@scripts/kmod-matrix

guest: $(GUEST) $(NESTED) $(PAYLOAD) $(INTEL) ## build the test guests, and what emulated machines run

$(GUEST): $(GUEST_SOURCES) tests/guest/guest.h bridge/guest/turn.h
	@mkdir -p $(@D)
	gcc -static -O2 -Wall -Wextra -Werror -pthread -Ibridge/guest -o $@ $(GUEST_SOURCES)

$(NESTED): $(addprefix tests/guest/,nested.c nested_code.S nested.h)
	@mkdir -p $(@D)
	gcc -static -O2 -Wall -Wextra -Werror -o $@ $(filter-out %.h,$^)

$(PAYLOAD): bridge/build_guest.py $(wildcard bridge/guest/*)
	$(PYTHON) $< $@

receiver: $(RECEIVER) ## build the receiver of the VM that can sleep

$(RECEIVER): $(RECEIVER_SOURCES) tests/vm/diskless/genl.h $(wildcard include/uapi/kvmlog/*.h include/kvmlog/*.h)
	@mkdir -p $(@D)
	gcc -static -O2 -Wall -Wextra -Werror -Iinclude/uapi -Iinclude -o $@ $(RECEIVER_SOURCES)

build/intel/boot.bin: tests/vm/intel/boot.S tests/vm/intel/layout.h
	@mkdir -p $(@D)
	gcc -m32 -nostdlib -static -no-pie -Wall -Werror -Wl,--build-id=none,-Ttext=0x7c00,-e,_start,--oformat=binary -o $@ $<

build/intel/kvmlog-port: tests/vm/intel/port.c
	@mkdir -p $(@D)
	gcc -static -O2 -Wall -Wextra -Werror -o $@ $<

build/intel/kvmlog-vmx-guest: $(addprefix tests/vm/intel/,guest.c nested.c code.S guest.h)
	@mkdir -p $(@D)
	gcc -static -O2 -Wall -Wextra -Werror -o $@ $(filter-out %.h,$^)

lint: ## ruff, mypy --strict, clang-format, sparse, gcc -fanalyzer, coccinelle, shellcheck, circles among objects
	@scripts/setup lint
	@scripts/lint

bench: ## measure the cost per exit, of searches, recordings, RPC calls and their fairness, of VM statistics, history and metrics, of calls on a fleet, of the live screen, and print tables (not a test)
	$(PYTHON) -m tests.bench.search
	$(PYTHON) -m tests.bench.recording
	$(PYTHON) -m tests.bench.rpc
	$(PYTHON) -m tests.bench.throughput
	$(PYTHON) -m tests.bench.fairness
	$(PYTHON) -m tests.bench.vms
	$(PYTHON) -m tests.bench.top
	$(PYTHON) -m tests.bench.vmstats
	$(PYTHON) -m tests.bench.report
	$(PYTHON) -m tests.bench.analysis
	$(PYTHON) -m tests.bench.history
	$(PYTHON) -m tests.bench.metrics
	$(PYTHON) -m tests.bench.fleet
	$(PYTHON) -m tests.bench

docs-pictures: ## set up, then make the pictures of README and docs anew, by the program itself
	@scripts/setup run
	@$(PYTHON) -m scripts.docs_pictures

soak: ## set up, then what make test runs a hundredth of: races, fuzzing, load; hours
	@scripts/setup test
	@scripts/soak

install: ## install program, services, module's source below DESTDIR, PREFIX=/usr/local
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' UNITDIR='$(UNITDIR)' scripts/install

uninstall: ## remove what install installed; configuration and users stay
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' UNITDIR='$(UNITDIR)' scripts/install uninstall

clean: ## remove what was built; keeps .venv and the fetched kernels
	rm -rf build/guest build/diskless build/intel build/install build/kmod build/kmod-analyzed build/native build/native-tests build/native-asan build/tsan build/vm build/stamps build/lib* build/bdist* \
		*.egg-info bridge/kvmlog/native/_native*.so tests/native/_testing*.so

.PHONY: help setup run check test test-unit test-vm test-intel vm vm-sh vm-ssh vm-reload vm-console test-vagrant kmod kmod-matrix guest receiver lint bench docs-pictures soak install uninstall clean
