# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh and reload.sh: the program, and the users that its services run as.

make_users() {
	local groups=kvmlog,kvm
	if ! getent passwd kvmlog-rpc kvmlog-history >/dev/null || ! getent group kvmlog >/dev/null; then
		systemd-sysusers "$PWD/bridge/systemd/kvmlog.sysusers"
		did "users: made kvmlog-rpc, kvmlog-history and group kvmlog"
	fi
	systemd-tmpfiles --create "$PWD/bridge/systemd/kvmlog.tmpfiles" 2>/dev/null ||
		install -d -m 750 -g kvmlog /run/kvmlog
	if [[ " ${services[*]} " == *" kvmlog-vmstats "* ]]; then
		if ! getent passwd kvmlog-vmstats >/dev/null; then
			systemd-sysusers "$PWD/rpcserver/systemd/kvmlog-vmstats.sysusers"
			did "users: made kvmlog-vmstats, in group libvirt"
		fi
		groups+=,libvirt
		if ! getent passwd kvmlog-metrics >/dev/null; then
			systemd-sysusers "$PWD/rpcserver/systemd/kvmlog-metrics.sysusers"
			did "users: made kvmlog-metrics"
		fi
	fi
	! getent passwd vagrant >/dev/null || usermod -aG "$groups" vagrant
}

install_program() {
	local inputs
	if [[ $mode == project ]]; then
		link_program
		return
	fi
	mapfile -t inputs < <(files_below bridge rpcserver include kmod docs scripts/install scripts/*.py \
		setup.py pyproject.toml README.md CHANGELOG.md)
	if done_before program "${inputs[@]}"; then
		say "program: up to date"
		return
	fi
	did "program: installing it below /usr"
	PREFIX=/usr scripts/install >/dev/null ||
		die "program: it does not build, as shown above; what runs goes on running"
	# The services cannot write beside their files.
	python3 -m compileall -q /usr/lib/kvmlog || die "program: this is no Python, as shown above"
	mark_done program "${inputs[@]}"
}

# link_program: .venv's, in everybody's PATH, and reachable for the services' users.
link_program() {
	local directory=$PWD
	if [[ ! -x .venv/bin/kvmlog ]] || ! compgen -G "bridge/kvmlog/native/_native*.so" >/dev/null; then
		die "program: $PWD has no .venv with kvmlog built; run \`make setup\` there first"
	fi
	while [[ $directory != / ]]; do
		directory=$(dirname "$directory")
		[[ -n $(find "$directory" -maxdepth 0 -perm -o=x) ]] || chmod o+x "$directory"
	done
	ln -sfn "$PWD/.venv/bin/kvmlog" /usr/local/bin/kvmlog
}
