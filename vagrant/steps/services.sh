# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh and reload.sh: the services, by systemd where it is process 1, else as they are.

services=(kvmlog-bridge kvmlog-rpc kvmlog-history)
# Logs and process ids of services that run without systemd.
run=/run/kvmlog-services

# choose_services: with the collector where there is a libvirt of the VM's own; it waits for its daemon.
choose_services() {
	[[ $mode == project ]] || services+=(kvmlog-vmstats kvmlog-metrics)
}

by_systemd() {
	[[ $(</proc/1/comm) == systemd ]]
}

# write_units: the project's own, with its places in them. Those of make install are there already.
write_units() {
	local file service
	mkdir -p /etc/systemd/system
	for service in "${services[@]}"; do
		file=$(compgen -G "*/systemd/$service.service")
		# The project may stand in a home, or below /tmp, where the services see their own.
		sed "s|@bindir@|$PWD/.venv/bin|g; s|^ProtectHome=yes$|BindReadOnlyPaths=$PWD|" "$file" \
			>"/etc/systemd/system/${file##*/}"
	done
}

# alive SERVICE
alive() {
	if by_systemd; then
		systemctl is-active --quiet "$1"
	else
		pkill -0 --pidfile "$run/$1.pid" --full "kvmlog ${1#kvmlog-}" 2>/dev/null
	fi
}

stop_service() {
	if by_systemd; then
		systemctl stop "$1"
	elif alive "$1"; then
		kill "$(<"$run/$1.pid")"
		timeout --signal=KILL 30 tail --pid="$(<"$run/$1.pid")" -s 0.2 -f /dev/null || true
		! alive "$1" || kill -KILL "$(<"$run/$1.pid")"
	fi
}

# start_service SERVICE: without systemd as its unit says, but without the sandbox; its log is a file.
start_service() {
	if by_systemd; then
		systemctl start "$1" || { journalctl -u "$1" -n 20 --no-pager >&2; return 1; }
		return
	fi
	mkdir -p "$run"
	# Not the lock, which would keep the next run from beginning.
	setsid kvmlog "${1#kvmlog-}" </dev/null >"$run/$1.log" 2>&1 9>&- &
	echo $! >"$run/$1.pid"
}

# wait_service SERVICE: until it says that it serves; systemd has waited. In emulation BPF programs, should the
# module be missing, take half a minute.
wait_service() {
	local end=$((SECONDS + 180))
	! by_systemd || return 0
	until [[ $(<"$run/$1.log") =~ kvmlog\ (bridge:\ ready|(rpc|metrics):\ serving|history:\ keeping|vmstats:\ collecting) ]]; do
		if ! alive "$1" || ((SECONDS > end)); then
			cat "$run/$1.log" >&2
			return 1
		fi
		sleep 0.5
	done
}

# tracing: how it is switched: "on", "on, with limits" or "off"; one that waits for KVM is on. Without kvmlog's
# own program, which in emulation takes seconds to start.
tracing() {
	python3 -ISc '
import json, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
    link.settimeout(60)
    link.bind("")
    link.connect("/run/kvmlog/switch")
    link.send(b"status")
    bridge = json.loads(link.recv(1 << 20).removeprefix(b"ok status "))
print(bridge["wanted"] + ", with limits" * any(bridge.get(key) for key in ("filter", "lease_s", "sampling")))' 2>/dev/null ||
		echo off
}

# run_services: those that do not run. One that does not start keeps none from starting.
run_services() {
	local service failed=()
	for service in "${services[@]}"; do
		alive "$service" || start_service "$service" || failed+=("$service")
	done
	for service in "${services[@]}"; do
		[[ " ${failed[*]} " == *" $service "* ]] || wait_service "$service" || failed+=("$service")
	done
	((${#failed[@]} == 0)) || die "services: ${failed[*]} does not start, as shown above"
}

# restart_services: with the fresh module, and tracing on again where it was on, also before a run that failed.
restart_services() {
	local at was swapped=1
	was=$(tracing)
	[[ $was == off && -s $state/tracing ]] || echo "$was" >"$state/tracing"
	# The last one first.
	for ((at = ${#services[@]} - 1; at >= 0; at--)); do
		stop_service "${services[at]}"
	done
	swap_module || swapped=
	if by_systemd; then
		systemctl daemon-reload
		systemctl --quiet enable "${services[@]}"
	fi
	run_services
	case $(<"$state/tracing") in
	*limits) say "services: tracing was on, with limits: switch it on again, as you had it" ;;
	on) kvmlog switch on >/dev/null && say "services: tracing is on again" ;;
	esac
	rm "$state/tracing"
	[[ $swapped ]] || die "module: it was not exchanged, as said above; the services run again"
	rm -f "$pending"
	say "services: started $(by_systemd && echo 'by systemd' || echo "directly, their logs are in $run")"
}

# all_alive: none of them has ended.
all_alive() {
	local service
	for service in "${services[@]}"; do
		alive "$service" || return
	done
}

# start_services: leaves them alone when they run with what is there now.
start_services() {
	if [[ ! -e $pending && -e /sys/module/kvmlog ]] && all_alive; then
		say "nothing had to be changed ($SECONDS s)"
	else
		restart_services
		say "done in $SECONDS s"
	fi
}
