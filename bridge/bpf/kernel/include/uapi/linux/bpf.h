/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bcc has the rest of it in itself. */
#include <linux/types.h>
