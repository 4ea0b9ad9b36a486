# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh and reload.sh: KVM, and the module kvmlog for the running kernel.

# load_kvm: with nested virtualisation, or in words why not.
load_kvm() {
	local vendor
	if grep -qw svm /proc/cpuinfo; then
		vendor=kvm_amd
	elif grep -qw vmx /proc/cpuinfo; then
		vendor=kvm_intel
	else
		die "KVM: this VM's processor has neither SVM nor VMX, so it runs no guests. On the machine outside: nested=1 for" \
			"kvm_amd or kvm_intel (/sys/module/kvm_*/parameters/nested); in emulation: QEMU's -cpu max,+svm. The Vagrantfile does that"
	fi
	[[ -e /sys/module/$vendor ]] || modprobe "$vendor" || die "KVM: modprobe $vendor fails, as shown above"
	[[ -c /dev/kvm ]] || die "KVM: $vendor is loaded, yet there is no /dev/kvm: see \`dmesg | grep -i kvm\`"
	if [[ $mode == installed ]]; then
		mkdir -p /etc/modules-load.d
		printf '%s\n' "$vendor" kvmlog | put 0644 root /etc/modules-load.d/kvmlog.conf || return 0
		did "KVM: $vendor and kvmlog are loaded at boot"
	fi
}

# module_file: kvmlog.ko for the running kernel.
module_file() {
	if [[ $mode == project ]]; then
		echo "$PWD/build/kmod/$kernel/kvmlog.ko"
	else
		modinfo -k "$kernel" -n kvmlog 2>/dev/null || true
	fi
}

# DKMS builds as dkms.conf says, except that objects are kept: see build-module.
write_dkms_override() {
	mkdir -p /etc/dkms
	cat <<-END | put 0644 root /etc/dkms/kvmlog.conf || return 0
		# Written by vagrant/provision.sh, for this VM: what is unchanged is not compiled again.
		MAKE[0]="$PWD/vagrant/build-module \${kernelver} \${kernel_source_dir} $state/kmod/\${kernelver} \${dkms_tree}/kvmlog/$version/build"
		CLEAN="true"
	END
}

build_module() {
	local inputs
	if [[ $mode == project ]]; then
		[[ -f $(module_file) ]] || die "module: there is no $(module_file); run \`make kmod\`"
		say "module: $(module_file)"
		return
	fi
	mapfile -t inputs < <(files_below kmod include vagrant/build-module)
	if [[ -n $(module_file) ]] && done_before "module-$kernel" "${inputs[@]}"; then
		say "module: up to date"
		return
	fi
	did "module: DKMS builds it for $kernel$([[ -d $state/kmod/$kernel ]] || echo ', for minutes where the VM is emulated')"
	begin "module-$kernel"
	write_dkms_override
	[[ -n $(dkms status "kvmlog/$version") ]] || forget_half_done
	# Both replace what is there once they have succeeded, not before.
	logged dkms dkms build --force "kvmlog/$version" -k "$kernel" || {
		tail -n 40 "/var/lib/dkms/kvmlog/$version/build/make.log" >&2 || true
		die "module: it does not build, as shown above; what was installed and loaded before still is"
	}
	logged dkms dkms install --force "kvmlog/$version" -k "$kernel" || die "module: DKMS does not install it, as shown above"
	mark_done "module-$kernel" "${inputs[@]}"
}

# forget_half_done: what DKMS does not know of, and would stumble over; then it is told anew.
forget_half_done() {
	rm -rf "/var/lib/dkms/kvmlog/$version"
	logged dkms dkms add "kvmlog/$version" || die "module: DKMS does not take /usr/src/kvmlog-$version, as shown above"
}

# note_of FILE: the build id of a module file, as the kernel shows that of a loaded one.
note_of() {
	local plain=$state/module.ko
	case $1 in
	*.xz) xz -dc "$1" >"$plain" ;;
	*.zst) zstd -dcq "$1" >"$plain" ;;
	*) cp "$1" "$plain" ;;
	esac
	rm -f "$plain.note"
	objcopy -O binary --only-section=.note.gnu.build-id --set-section-flags .note.gnu.build-id=alloc \
		"$plain" "$plain.note" && sha256sum <"$plain.note"
}

# module_is_fresh: whether the loaded module is the file.
module_is_fresh() {
	local loaded=/sys/module/kvmlog/notes/.note.gnu.build-id
	[[ -r $loaded && $(sha256sum <"$loaded") == "$(note_of "$(module_file)")" ]]
}

# swap_module: the loaded module becomes the file; nobody may be using it.
swap_module() {
	if [[ -e /sys/module/kvmlog ]]; then
		module_is_fresh && return
		rmmod kvmlog || die "module: the loaded one is in use, as shown above: end whatever bridge runs (pgrep -af 'kvmlog bridge')"
	fi
	if [[ $mode == project ]]; then
		insmod "$(module_file)" || die "module: insmod $(module_file) fails: see dmesg"
	else
		modprobe kvmlog || die "module: modprobe kvmlog fails: see dmesg"
	fi
	did "module: loaded, $(modinfo -F srcversion "$(module_file)")"
}
