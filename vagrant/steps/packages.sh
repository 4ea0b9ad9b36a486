# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh: Debian packages and the headers of the running kernel.

install_packages() {
	local wanted missing
	export DEBIAN_FRONTEND=noninteractive
	# What an interrupted run has left.
	dpkg --configure -a
	mapfile -t wanted < <(grep -v '^#' vagrant/packages.txt)
	[[ -e /lib/modules/$kernel/build/Makefile ]] || wanted+=("linux-headers-$kernel")
	mapfile -t missing < <(
		comm -13 <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u) \
			<(printf '%s\n' "${wanted[@]}" | sort -u)
	)
	((${#missing[@]})) || { say "packages: all are installed"; return; }
	did "packages: installing ${missing[*]}"
	apt-get -q update || true
	apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "${missing[@]}" ||
		die "packages: apt does not get them, as shown above. A box that vagrant/make-box makes has them all; for another" \
			"kernel: \`sudo apt-get install linux-image-amd64 linux-headers-amd64\`, then \`vagrant reload --provision\`"
}
