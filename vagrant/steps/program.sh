# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh and reload.sh: the program, and the users that its services run as.

library=/usr/lib/kvmlog

make_users() {
	local group
	if getent passwd kvmlog-rpc >/dev/null && getent group kvmlog >/dev/null; then
		say "users: kvmlog-rpc and group kvmlog are there"
	else
		logged sysusers systemd-sysusers "$PWD/bridge/systemd/kvmlog.sysusers" ||
			die "users: systemd-sysusers does not make those of bridge/systemd/kvmlog.sysusers, as shown above"
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
	local all built
	mapfile -t all < <(files_below bridge rpcserver include kmod docs scripts/install scripts/launcher.py \
		setup.py pyproject.toml README.md CHANGELOG.md)
	# What make install does more with than to copy it.
	mapfile -t built < <(files_below bridge/native bridge/guest bridge/bpf/shared.h bridge/build_*.py bridge/systemd \
		rpcserver/systemd include scripts/install scripts/launcher.py setup.py pyproject.toml)
	if [[ -x /usr/bin/kvmlog ]] && done_before program "${all[@]}"; then
		say "program: up to date"
		return
	fi
	if [[ -x /usr/bin/kvmlog ]] && done_before built "${built[@]}"; then
		did "program: copying what has changed to /usr/lib/kvmlog"
		begin program
		copy_program
	else
		did "program: building its C extension, installing it below /usr"
		begin program
		begin built
		PREFIX=/usr logged program scripts/install ||
			die "program: it does not build, as shown above; what was installed before is still there"
		vouch built "${built[@]}"
	fi
	# The services cannot write beside their files.
	python3 -m compileall -q "$library" || die "program: this is no Python, as shown above"
	vouch program "${all[@]}"
}

# copy PATTERN FROM TO: files of this pattern that have another content, and removes those that are gone.
copy() {
	# Not what make install puts below include/, from elsewhere. The first rule that fits holds.
	rsync -rc --delete --exclude=/include --exclude=__pycache__ --include='*/' --include="$1" --exclude='*' "$2/" "$3/"
}

# copy_program: what of make install needs no build. In emulation that is a second instead of a minute.
copy_program() {
	local package
	for package in bridge cli exits; do
		copy '*.py*' "bridge/kvmlog/$package" "$library/kvmlog/$package"
	done
	copy '*.py*' rpcserver/kvmlog/rpcserver "$library/kvmlog/rpcserver"
	copy '*.[ch]' bridge/bpf "$library/kvmlog/bridge/include/bpf"
	install -m 644 README.md CHANGELOG.md docs/*.md /usr/share/doc/kvmlog/
	install -m 644 docs/kvmlog.1 /usr/share/man/man1/
	cp kmod/Kbuild kmod/dkms.conf "/usr/src/kvmlog-$version/"
	copy '*.[ch]' kmod "/usr/src/kvmlog-$version"
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
	if [[ $(readlink /usr/local/bin/kvmlog) != "$PWD/.venv/bin/kvmlog" ]]; then
		ln -sfn "$PWD/.venv/bin/kvmlog" /usr/local/bin/kvmlog
		did "program: kvmlog is that of $PWD/.venv"
	else
		say "program: up to date"
	fi
}
