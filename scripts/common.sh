# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by the scripts beside it; the working directory becomes the project's root.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stamps=build/stamps
# shellcheck disable=SC2034 # for the scripts that source this
python=.venv/bin/python

say() {
	printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# fingerprint FILE...: one line for the content and names of all of them.
fingerprint() {
	sha256sum -- "$@" | sha256sum | cut -d' ' -f1
}

# done_before NAME FILE...: whether step NAME was done with the files as they are now.
done_before() {
	local name=$1
	shift
	[[ -f $stamps/$name && $(<"$stamps/$name") == "$(fingerprint "$@")" ]]
}

# mark_done NAME FILE...
mark_done() {
	local name=$1
	shift
	mkdir -p "$stamps"
	fingerprint "$@" >"$stamps/$name"
}

# as_root COMMAND...: run it as root, or say how and fail.
as_root() {
	if [[ $EUID -eq 0 ]]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "neither root nor sudo here. Run this as root, then try again: $*"
	fi
}

# need_debian: what set-ups are for.
need_debian() {
	[[ $(uname -m) == x86_64 ]] || die "this machine is $(uname -m); kvmlog's set-up knows x86-64 only"
	command -v apt-get >/dev/null || die "no apt-get: the set-up is for Debian 12"
}

# install_missing PACKAGE...: those of these Debian packages that are not installed yet.
install_missing() {
	local missing=() installed package
	installed=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
		sed -nE 's/^([^ :]*)(:[^ ]*)? installed$/\1/p') || true
	for package in "$@"; do
		[[ $'\n'$installed$'\n' == *$'\n'"$package"$'\n'* ]] || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	say "installing Debian packages: ${missing[*]}"
	if [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; then
		die "neither root nor sudo here. Run this as root, then the same again:" \
			"apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
	fi
	as_root apt-get update -q
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends "${missing[@]}"
}
