# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # for the scripts that source this
# Sourced by provision.sh and reload.sh: what all their steps share. The working directory becomes the project's root.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

program_name=${0##*/}
program_name=${program_name%.sh}
kernel=$(uname -r)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
# What was done, in this VM: it is never the project's own build/.
state=/var/lib/kvmlog-vm
stamps=$state/stamps
# installed: make install and DKMS. project: .venv and build/ of the project, as another machine built them.
mode=
# How many things a run changed.
changes=0
unset PYTHONPATH
umask 022

say() {
	printf '%s: %s\n' "$program_name" "$*"
}

die() {
	printf '%s: %s\n' "$program_name" "$*" >&2
	exit 1
}

# did WORDS...: says what was changed, and counts it.
did() {
	changes=$((changes + 1))
	say "$@"
}

# only_one: waits for another run, and for what one that was killed has left running.
only_one() {
	mkdir -p "$state"
	exec 9>"$state/lock"
	if ! flock -n 9; then
		say "waiting for another run, or for what one that was killed left behind (holds $state/lock)"
		flock 9
	fi
}

# must_be_vm: these scripts make users, services and /etc/kvmlog theirs.
must_be_vm() {
	[[ $EUID -eq 0 ]] || die "not root; run it with sudo"
	grep -qw hypervisor /proc/cpuinfo ||
		die "this is no virtual machine, and would be changed for good; \`vagrant up\` and \`make vm\` call this in one"
}

# put MODE GROUP FILE: stdin becomes FILE of root, at once or not at all. Fails when it was so already.
# Not at the end of a pipe, whose own shell is all that would end when the file cannot be written.
put() {
	local fresh=$3.new
	{ (umask 077 && cat >"$fresh") && chmod "$1" "$fresh" && chgrp "$2" "$fresh"; } || die "$3 cannot be written"
	if cmp -s "$fresh" "$3" && [[ $(stat -c '%a %G' "$3") == "${1#0} $2" ]]; then
		rm -f "$fresh"
		return 1
	fi
	mv -f "$fresh" "$3" || die "$3 cannot be written"
}

# files_below DIRECTORY...: the sources there, for a fingerprint.
files_below() {
	find "$@" -type f ! -name '*.so' ! -name '*.pyc' ! -name '*.o' ! -name '*.ko' ! -name '.*' | sort
}

# begin NAME: from now on it is not done, whatever was done before.
begin() {
	rm -f "$stamps/$1"
}

# vouch NAME FILE...: it is done, and on the disk before its stamp is, should the VM's kernel die or its power be cut.
vouch() {
	sync
	mark_done "$@"
}

# logged NAME COMMAND...: runs it with its output in a file, which is shown when it fails.
logged() {
	local log=$state/$1.log
	shift
	"$@" >"$log" 2>&1 && return
	tail -n 60 "$log" >&2
	return 1
}
