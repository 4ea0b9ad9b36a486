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
		put 0644 root /etc/modules-load.d/kvmlog.conf <<<"$vendor"$'\n'kvmlog || return 0
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

# builder SOURCES OUTPUT: the command that builds; see there. DKMS fills in its own variables.
builder() {
	echo "$PWD/vagrant/build-module ${3:-$kernel /lib/modules/$kernel/build} $state/kmod/${4:-$kernel} $1 $2"
}

# What dkms.conf says, except that objects are kept.
write_dkms_override() {
	local build="\${dkms_tree}/kvmlog/$version/build"
	mkdir -p /etc/dkms
	# shellcheck disable=SC2016 # DKMS's variables
	put 0644 root /etc/dkms/kvmlog.conf <<-END || return 0
		# Written by vagrant/provision.sh, for this VM: what is unchanged is not compiled again.
		MAKE[0]="$(builder "$build" "$build" '${kernelver} ${kernel_source_dir}' '${kernelver}')"
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
	begin "module-$kernel"
	write_dkms_override
	if dkms_has_it; then
		did "module: building what has changed"
		renew_module
	else
		did "module: DKMS builds it for $kernel, for minutes where the VM is emulated"
		build_by_dkms
	fi
	vouch "module-$kernel" "${inputs[@]}"
}

# dkms_has_it: built and installed, for the running kernel. dkms status tells the same, slowly.
dkms_has_it() {
	[[ $(module_file) == */updates/dkms/* && -d /var/lib/dkms/kvmlog/$version/$kernel ]] || return
	dkms_module=$(find "/var/lib/dkms/kvmlog/$version/$kernel" -path '*/module/kvmlog.ko*' ! -name '*.new' -print -quit)
	[[ $dkms_module ]]
}

build_by_dkms() {
	if [[ -z $(dkms status "kvmlog/$version") ]]; then
		# What it does not know of it would stumble over.
		rm -rf "/var/lib/dkms/kvmlog/$version"
		logged dkms dkms add "kvmlog/$version" || die "module: DKMS does not take /usr/src/kvmlog-$version, as shown above"
	fi
	# Both replace what is there once they have succeeded, not before.
	logged dkms dkms build --force "kvmlog/$version" -k "$kernel" || {
		tail -n 40 "/var/lib/dkms/kvmlog/$version/build/make.log" >&2 || true
		die "module: it does not build, as shown above; what was installed and loaded before still is"
	}
	logged dkms dkms install --force "kvmlog/$version" -k "$kernel" || die "module: DKMS does not install it, as shown above"
}

# renew_module: the file that DKMS has built and the one it has installed become those of the sources. DKMS
# itself would look through all of the kernel's modules twice, which takes longer than the building.
renew_module() {
	local installed fresh=$state/kvmlog.ko
	rm -f "$fresh"*
	installed=$(module_file)
	# shellcheck disable=SC2046 # it is words
	logged module $(builder "/usr/src/kvmlog-$version" "$fresh") ||
		die "module: it does not build, as shown above; what was installed and loaded before still is"
	strip -g "$fresh"
	[[ $installed != *.xz ]] || { xz -f --check=crc32 "$fresh" && fresh+=.xz; }
	cp "$fresh" "$dkms_module.new"
	cp "$fresh" "$installed.new"
	mv "$dkms_module.new" "$dkms_module"
	mv "$installed.new" "$installed"
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

# swap_module: the loaded module becomes the file; nobody may be using it. Fails, in words, when it does not.
swap_module() {
	if [[ -e /sys/module/kvmlog ]]; then
		module_is_fresh && return
		rmmod kvmlog || {
			say "module: the loaded one is in use, as shown above: end whatever bridge runs (pgrep -af 'kvmlog bridge')" >&2
			return 1
		}
	fi
	if [[ $mode == project ]]; then
		insmod "$(module_file)"
	else
		modprobe kvmlog
	fi || {
		say "module: $(module_file) does not load, as shown above: see dmesg" >&2
		return 1
	}
	did "module: loaded, $(modinfo -F srcversion "$(module_file)")"
}
