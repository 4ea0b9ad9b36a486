# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh and reload.sh: bridge and RPC server, by systemd where it is process 1, else as they are.

services=(kvmlog-bridge kvmlog-rpc)
run=/run/kvmlog-services
# An emulated processor takes half a minute for BPF programs, should the module be missing.
start_limit_s=180
# Whether tracing was on before the services were stopped, until it is again.
was_file=$state/tracing

by_systemd() {
	[[ $(</proc/1/comm) == systemd ]]
}

# unit_folder SERVICE: where its source is.
unit_folder() {
	if [[ $1 == kvmlog-bridge ]]; then echo bridge/systemd; else echo rpcserver/systemd; fi
}

# write_units: those of make install are there already; the project's own have its places in them.
write_units() {
	[[ $mode == project ]] || return 0
	local service
	mkdir -p /etc/systemd/system
	for service in "${services[@]}"; do
		# The project may stand in a home, or below /tmp, where the services see their own.
		put 0644 root "/etc/systemd/system/$service.service" < <(
			sed "s|@bindir@|$PWD/.venv/bin|g; s|^ProtectHome=yes$|BindReadOnlyPaths=$PWD|" \
				"$(unit_folder "$service")/$service.service"
		) || true
	done
}

# wanted_state: what the services were started with; when it is another they are started anew.
wanted_state() {
	local units=()
	[[ $mode == project ]] || units=("/usr/lib/systemd/system/${services[0]}.service" "/usr/lib/systemd/system/${services[1]}.service" "$stamps/program")
	fingerprint "$config" "$tls/cert.pem" "$tokens" "${units[@]}"
	[[ $mode == project ]] || return 0
	{
		files_below bridge/kvmlog rpcserver/kvmlog bridge/bpf include
		compgen -G 'bridge/kvmlog/native/_native*.so'
	} | xargs -d '\n' sha256sum
}

# alive SERVICE
alive() {
	local pid
	if by_systemd; then
		systemctl is-active --quiet "$1"
		return "$?"
	fi
	[[ -f $run/$1.pid ]] && pid=$(<"$run/$1.pid") && [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"kvmlog ${1#kvmlog-} " ]]
}

stop_service() {
	local pid tries
	if by_systemd; then
		systemctl stop "$1"
		return
	fi
	alive "$1" || return 0
	pid=$(<"$run/$1.pid")
	kill "$pid" 2>/dev/null || return 0
	for ((tries = 0; tries < 300; tries++)); do
		[[ -e /proc/$pid ]] || return 0
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null || true
}

# start_service SERVICE: without systemd, as its unit says, but without the sandbox; its log is a file.
start_service() {
	if by_systemd; then
		systemctl start "$1" || {
			journalctl -u "$1" -n 20 --no-pager >&2 || true
			return 1
		}
		return 0
	fi
	mkdir -p "$run"
	[[ -p $run/never ]] || mkfifo "$run/never"
	# Not the lock, which would keep the next run from beginning.
	setsid kvmlog "${1#kvmlog-}" </dev/null >"$run/$1.log" 2>&1 9>&- &
	echo $! >"$run/$1.pid"
}

# wait_service SERVICE: until it says that it serves; systemd has waited. Fails when it does not come to that.
wait_service() {
	! by_systemd || return 0
	local end=$((SECONDS + start_limit_s)) pid
	pid=$(<"$run/$1.pid")
	# No other process: in emulation they would take the CPU from the one that is waited for.
	until [[ $(<"$run/$1.log") =~ kvmlog\ (bridge:\ ready|rpc:\ serving) ]]; do
		if [[ ! -e /proc/$pid ]] || ((SECONDS > end)); then
			cat "$run/$1.log" >&2
			return 1
		fi
		read -r -t 0.2 <>"$run/never" || true
	done
}

# tracing: as the bridge is told to, "off" when there is none; one that waits for KVM is on. Without kvmlog's own
# program, which in emulation takes seconds to start.
tracing() {
	alive kvmlog-bridge || { echo off; return; }
	python3 -ISc '
import json, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
    link.settimeout(60)
    link.bind("")
    link.connect("/run/kvmlog/switch")
    link.send(b"status")
    bridge = json.loads(link.recv(1 << 20).removeprefix(b"ok status "))
print(bridge["wanted"], "limited" if any(bridge.get(key) for key in ("filter", "lease_s", "sampling")) else "")' || echo off
}

# run_services: those that do not run. One that does not start keeps none from starting; fails, and says which.
run_services() {
	local service started=() failed=()
	for service in "${services[@]}"; do
		if alive "$service" || start_service "$service"; then started+=("$service"); else failed+=("$service"); fi
	done
	for service in "${started[@]}"; do
		wait_service "$service" || failed+=("$service")
	done
	((${#failed[@]})) || return 0
	say "services: ${failed[*]} does not start, as shown above" >&2
	return 1
}

# remember_tracing: what a run remembered that did not come to its end holds, unless tracing is on again.
remember_tracing() {
	local was
	was=$(tracing)
	[[ -s $was_file && $was != on* ]] || put 0600 root "$was_file" <<<"$was" || true
}

# trace_again: where it was on. Fails when it does not go on, and then the next run tries again.
trace_again() {
	case $(<"$was_file") in
	on*limited) say "services: tracing was on, but not of everything for ever: switch it on again, as you had it" ;;
	on*)
		if ! kvmlog switch on >/dev/null; then
			say "services: tracing was on and does not go on, as shown above: kvmlog switch on" >&2
			return 1
		fi
		say "services: tracing is on again"
		;;
	esac
	rm -f "$was_file"
}

# Below a trap a bare return would be that of what the trap interrupted: hence the numbers above.
# run_all_the_same: at the end of a run that did not come to that, by Ctrl-C, a lost ssh, a mistake.
run_all_the_same() {
	# A command substitution that dies of Ctrl-C calls this, too.
	[[ $BASHPID == "$$" ]] || return
	trap - EXIT
	# Background processes ignore Ctrl-C anyway. The others are not ignored: what is started would inherit that.
	trap '' INT
	trap : TERM HUP PIPE
	set +e
	say "services: interrupted; starting them again" >&2
	run_services && trace_again
}

# restart_services: with the fresh module, and tracing on again where it was on.
restart_services() {
	local service swapped=1 running=1
	remember_tracing
	begin services
	# The signals have traps of their own: while bash dies of one it cannot be relied on to start anything.
	trap run_all_the_same EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 141' PIPE
	trap 'exit 143' TERM
	! by_systemd || systemctl daemon-reload
	for service in kvmlog-rpc kvmlog-bridge; do
		stop_service "$service"
	done
	swap_module || swapped=
	! by_systemd || systemctl --quiet enable "${services[@]}"
	{ run_services && trace_again; } || running=
	trap - EXIT HUP INT PIPE TERM
	if [[ $running ]]; then
		mkdir -p "$stamps"
		wanted_state >"$stamps/services"
		did "services: started $(by_systemd && echo 'by systemd' || echo "directly, their logs are in $run")"
	fi
	[[ $running ]] || die "services: not all is as it was, as said above; mend that, and run this again"
	[[ $swapped ]] || die "module: it was not exchanged, as said above; the services run again"
}

# start_services: nothing when they run, with what is there now.
start_services() {
	local service fresh=1
	write_units
	for service in "${services[@]}"; do
		alive "$service" || fresh=
	done
	if [[ $fresh ]] && module_is_fresh && [[ $(wanted_state) == "$(cat "$stamps/services" 2>/dev/null)" ]]; then
		say "services: run, with all that is installed"
	else
		restart_services
	fi
}
