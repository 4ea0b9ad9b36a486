#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Brings changed sources to life in a virtual machine that provision.sh has made: what has changed is built, then
# the services are stopped, the module is swapped, and the services are started again. When something does not
# build nothing is stopped and nothing unloaded. Tracing that was on is on afterwards.
#   vagrant/reload.sh      as root, in the VM, from the project's directory; `make vm-reload` calls it

. "$(dirname "$0")/steps/common.sh"
. vagrant/steps/program.sh
. vagrant/steps/module.sh
. vagrant/steps/services.sh

begin
[[ -f $state/mode ]] || die "this VM was not provisioned; run \`vagrant provision\`, or vagrant/provision.sh in it"
mode=$(<"$state/mode")
choose_services
# Takes as long as what has changed: the tree that the objects are in is the project's own.
[[ $mode == installed ]] || scripts/build-kmod "$kernel" ||
	die "module: it does not build, as shown above; the old one is still loaded"
install_program
build_module
restart_services
say "reloaded in $SECONDS s"
