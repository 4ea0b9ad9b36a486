# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh: Debian packages and the kernel's headers.

export DEBIAN_FRONTEND=noninteractive

# apt_get WORDS...: waits for another apt; never asks.
apt_get() {
	logged apt apt-get -q -y -o DPkg::Lock::Timeout=120 "$@"
}

# mend_packages: finishes what an interrupted run of dpkg has left.
mend_packages() {
	[[ -n $(dpkg --audit) || -n $(find /var/lib/dpkg/updates -type f -print -quit) ]] || return 0
	did "packages: an installation was interrupted; finishing it"
	logged dpkg dpkg --configure -a ||
		apt_get --fix-broken install ||
		die "packages: dpkg --configure -a fails, as shown above; mend that in the VM, or destroy the VM and make it anew"
}

# missing_packages NAME...: those that are not installed.
missing_packages() {
	comm -13 <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u) \
		<(printf '%s\n' "$@" | sort -u)
}

# fetch_packages NAME...: installs them, from the network.
fetch_packages() {
	did "packages: installing $*"
	if ! apt_get update || ! apt_get install --no-install-recommends "$@"; then
		die "packages: $* are missing and apt does not get them, as shown above. If this VM has no network, take a box" \
			"that has them all: vagrant/make-box makes one"
	fi
}

install_packages() {
	local wanted missing
	mend_packages
	mapfile -t wanted < <(grep -v '^#' vagrant/packages.txt)
	mapfile -t missing < <(missing_packages "${wanted[@]}")
	if ((${#missing[@]})); then
		fetch_packages "${missing[@]}"
	else
		say "packages: all ${#wanted[@]} are there"
	fi
}

# need_headers: those of the running kernel, without which no module is built.
need_headers() {
	local there
	[[ -e /lib/modules/$kernel/build/Makefile ]] && return
	did "headers: installing linux-headers-$kernel"
	apt_get update || true
	apt_get install --no-install-recommends "linux-headers-$kernel" && return
	there=$(find /lib/modules -mindepth 2 -maxdepth 2 -name build -printf '%h\n' | sed 's|.*/||' | sort | paste -sd ' ')
	if [[ -n $there ]]; then
		die "headers: there are none for the running kernel $kernel, and apt does not get them. There are headers for $there:" \
			"boot that kernel (\`vagrant reload\`), or choose a box whose kernel fits (KVMLOG_KERNEL, KVMLOG_BOX)"
	fi
	die "headers: there are none for the running kernel $kernel, and apt does not get them. If apt has a newer kernel:" \
		"\`apt-get install linux-image-amd64 linux-headers-amd64\` in the VM, then \`vagrant reload --provision\`;" \
		"else choose a box with headers: vagrant/make-box makes one"
}
