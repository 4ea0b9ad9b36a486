# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh and reload.sh: the program, and the users that its services run as.

extension=$state/_native.abi3.so

make_users() {
	local group
	if getent passwd kvmlog-rpc >/dev/null && getent group kvmlog >/dev/null; then
		say "users: kvmlog-rpc and group kvmlog are there"
	else
		systemd-sysusers "$PWD/bridge/systemd/kvmlog.sysusers" >/dev/null 2>&1 ||
			die "users: systemd-sysusers does not make those of bridge/systemd/kvmlog.sysusers"
		did "users: made kvmlog-rpc and group kvmlog"
	fi
	systemd-tmpfiles --create "$PWD/bridge/systemd/kvmlog.tmpfiles" 2>/dev/null ||
		install -d -m 750 -g kvmlog /run/kvmlog
	getent passwd vagrant >/dev/null || return 0
	for group in kvmlog kvm; do
		if getent group "$group" >/dev/null && [[ " $(id -nG vagrant) " != *" $group "* ]]; then
			usermod -aG "$group" vagrant
			did "users: vagrant is in group $group"
		fi
	done
}

install_program() {
	if [[ $mode == project ]]; then
		link_program
		return
	fi
	local inputs natives
	mapfile -t inputs < <(files_below bridge rpcserver include kmod docs scripts/install scripts/launcher.py \
		setup.py pyproject.toml README.md CHANGELOG.md)
	mapfile -t natives < <(files_below bridge/native include bridge/bpf/shared.h bridge/build_native.py setup.py)
	if [[ -x /usr/bin/kvmlog ]] && done_before program "${inputs[@]}"; then
		say "program: up to date"
		return
	fi
	# The extension is what takes long, where the VM is emulated: it is built when something of it has changed.
	local keep=
	if [[ -f $extension ]] && done_before extension "${natives[@]}"; then
		keep=$extension
	fi
	did "program: installing below /usr${keep:+ (the C extension is as before)}${keep:- with its C extension}"
	begin program
	KVMLOG_EXTENSION=$keep PREFIX=/usr logged program scripts/install ||
		die "program: it does not build, as shown above; what was installed before is still there"
	# The services cannot write beside their files.
	python3 -m compileall -q /usr/lib/kvmlog
	if [[ -z $keep ]]; then
		begin extension
		cp /usr/lib/kvmlog/kvmlog/bridge/_native*.so "$extension"
		mark_done extension "${natives[@]}"
	fi
	mark_done program "${inputs[@]}"
}

# link_program: .venv's, in everybody's PATH, and reachable for the services' users.
link_program() {
	local directory=$PWD
	if [[ ! -x .venv/bin/kvmlog ]] || ! compgen -G "bridge/kvmlog/bridge/_native*.so" >/dev/null; then
		die "program: $PWD has no .venv with kvmlog built; run \`make setup\` there first"
	fi
	while [[ $directory != / ]]; do
		directory=$(dirname "$directory")
		[[ -n $(find "$directory" -maxdepth 0 -perm -o=x) ]] || chmod o+x "$directory"
	done
	if [[ $(readlink /usr/local/bin/kvmlog) != "$PWD/.venv/bin/kvmlog" ]]; then
		ln -sfn "$PWD/.venv/bin/kvmlog" /usr/local/bin/kvmlog
		did "program: kvmlog is that of $PWD/.venv"
	else
		say "program: up to date"
	fi
}
