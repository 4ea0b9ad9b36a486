/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bcc's own headers ask of the kernel's configuration; its file tells bcc where the tree is. */
#ifndef KVMLOG_KERNEL_KCONFIG_H
#define KVMLOG_KERNEL_KCONFIG_H

#define CONFIG_BPF_SYSCALL 1
#define CONFIG_X86_64 1

#endif
