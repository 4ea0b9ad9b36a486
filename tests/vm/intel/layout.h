/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical addresses of what images.py puts into the machine's RAM; the kernel lies where it wants
 * to. */
#ifndef KVMLOG_TEST_INTEL_LAYOUT_H
#define KVMLOG_TEST_INTEL_LAYOUT_H

#define ENTRY_POINT 0x7f00000 /* the kernel's, four bytes */
#define START_INFO 0x7f00010
#define INITRAMFS 0x8000000

#endif
