// SPDX-License-Identifier: GPL-2.0-or-later
/* Refuses to build when a compiler lays the formats out differently. */
#include <kvmlog/layout.h>
