#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a virtual machine one where kvmlog runs: packages, users, program, module, configuration, services.
# Called as root in the VM, from the project's directory, by `vagrant up`, `make vm` and tests.
#   vagrant/provision.sh                what is missing is installed, built here, and goes through DKMS
#   vagrant/provision.sh --from-build   with .venv and build/ of the project, as `make setup` has made them
# What is as it should be stays untouched, so that a second run takes seconds. A run that was interrupted
# anywhere, also by a power cut, is continued by the next.

. "$(dirname "$0")/steps/common.sh"
. vagrant/steps/packages.sh
. vagrant/steps/program.sh
. vagrant/steps/module.sh
. vagrant/steps/configuration.sh
. vagrant/steps/services.sh

case ${1:-} in
'') mode=installed ;;
--from-build) mode=project ;;
*) die "$1: give --from-build, or nothing" ;;
esac
choose_services
begin
echo "$mode" >"$state/mode"
[[ $mode == project ]] || install_packages
make_users
load_kvm
install_program
build_module
write_configuration
make_certificate
make_token
[[ $mode == installed ]] || write_units
start_services
say "try: kvmlog demo, kvmlog status, kvmlog stat -i 1"
say "from outside: kvmlog remote --tls-ca ca.pem --token-file token localhost:50080 status, with the files of $access"
