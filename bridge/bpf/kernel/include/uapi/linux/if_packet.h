/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bcc includes this file; nothing of the kernel's is needed from it. */
