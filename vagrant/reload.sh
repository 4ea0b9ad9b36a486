#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Brings changed sources to life in a virtual machine that provision.sh has made: what changed is built,
# then the services are stopped, the module is swapped, and the services are started again. When
# something does not build nothing is stopped and nothing unloaded. Tracing that was on is on afterwards.
#   vagrant/reload.sh      as root, in the VM, from the project's directory; `make vm-reload` calls it

. "$(dirname "$0")/steps/common.sh"
. vagrant/steps/program.sh
. vagrant/steps/module.sh
. vagrant/steps/configuration.sh
. vagrant/steps/services.sh

must_be_vm
[[ -f $state/mode ]] || die "this VM was not provisioned; run \`vagrant up --provision\`, or vagrant/provision.sh in it"
only_one
for needed in "$config" "$tls/cert.pem" "$tokens"; do
	[[ -s $needed ]] || die "this VM's provisioning never came to its end, $needed is missing; mend what it failed of, then" \
		"\`vagrant rsync && vagrant provision\`, or vagrant/provision.sh in it"
done
mode=$(<"$state/mode")
if [[ $mode == project ]]; then
	# The tree that objects are in is the project's own, and so this takes as long as what has changed.
	scripts/build-kmod "$kernel" || die "module: it does not build, as shown above; the old one is still loaded"
fi
install_program
build_module
own_secrets
start_services
if ((changes)); then
	say "reloaded in $SECONDS s"
else
	say "nothing has changed ($SECONDS s)"
fi
