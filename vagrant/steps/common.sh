# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # for the scripts that source this
# Sourced by provision.sh and reload.sh: what all their steps share. The working directory becomes the project's root.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

kernel=$(uname -r)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
# What was done in this VM: it is never the project's own build/.
state=/var/lib/kvmlog-vm
stamps=$state/stamps
# There is something that the services do not run with yet, also when this run is killed.
pending=$state/pending
# installed: make install and DKMS. project: .venv and build/ of the project, as another machine built them.
mode=
unset PYTHONPATH
umask 022

# did WORDS...: says what is changed.
did() {
	: >"$pending"
	say "$@"
}

# begin: refuses to run anywhere but in a VM, since users, services and /etc/kvmlog become these scripts', and
# waits for another run.
begin() {
	[[ $EUID -eq 0 ]] || die "not root; run it with sudo"
	grep -qw hypervisor /proc/cpuinfo ||
		die "this is no virtual machine, and would be changed for good; \`vagrant up\` and \`make vm\` call this in one"
	mkdir -p "$state"
	exec 9>"$state/lock"
	flock 9
}

# put MODE OWNER:GROUP FILE: stdin becomes FILE, at once or not at all.
put() {
	(umask 077 && cat >"$3.new") && chown "$2" "$3.new" && chmod "$1" "$3.new" && mv -f "$3.new" "$3"
}

# files_below DIRECTORY...: the sources there, for a fingerprint.
files_below() {
	find "$@" -type f ! -name '*.so' ! -name '*.pyc' ! -name '*.o' ! -name '*.ko' ! -name '.*' | sort
}
