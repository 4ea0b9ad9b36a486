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
	[[ $mode == project ]] || put 0644 root:root /etc/modules-load.d/kvmlog.conf <<<"$vendor"$'\n'kvmlog
}

build_module() {
	local inputs
	if [[ $mode == project ]]; then
		[[ -f build/kmod/$kernel/kvmlog.ko ]] || die "module: there is none in build/kmod/$kernel; run \`make kmod\`"
		return
	fi
	mapfile -t inputs < <(files_below kmod include vagrant/build-module)
	if done_before "module-$kernel" "${inputs[@]}"; then
		say "module: up to date"
		return
	fi
	did "module: DKMS builds it for $kernel; the first time takes minutes where the VM is emulated"
	# What dkms.conf says, except that objects are kept.
	mkdir -p /etc/dkms
	put 0644 root:root /etc/dkms/kvmlog.conf <<-END
		MAKE[0]="$PWD/vagrant/build-module \${kernelver} \${kernel_source_dir} $state/kmod/\${kernelver} \${dkms_tree}/kvmlog/$version/build"
		CLEAN="true"
	END
	[[ -n $(dkms status "kvmlog/$version") ]] || dkms add "kvmlog/$version"
	# Both replace what is there once they have succeeded, not before.
	dkms build --force "kvmlog/$version" -k "$kernel" || {
		tail -n 40 "/var/lib/dkms/kvmlog/$version/build/make.log" >&2 || true
		die "module: it does not build, as shown above; the old one stays installed and loaded"
	}
	dkms install --force "kvmlog/$version" -k "$kernel" || die "module: DKMS does not install it, as shown above"
	# On the disk before its stamp is, should the VM's kernel crash.
	sync
	mark_done "module-$kernel" "${inputs[@]}"
}

# swap_module: the loaded module becomes the one that was built; nobody may be using it.
swap_module() {
	if [[ -e /sys/module/kvmlog ]] && ! rmmod kvmlog; then
		say "module: the loaded one is in use, as shown above: end whatever bridge runs (pgrep -af 'kvmlog bridge')" >&2
		return 1
	fi
	if [[ $mode == project ]]; then
		insmod "build/kmod/$kernel/kvmlog.ko"
	else
		modprobe kvmlog
	fi || return
	say "module: loaded, $(</sys/module/kvmlog/srcversion)"
}
