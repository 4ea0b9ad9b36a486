/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mapped maps, as the pump takes records out of them; the rest is in api.h. */
#ifndef KVMLOG_NATIVE_BPF_MAPS_H
#define KVMLOG_NATIVE_BPF_MAPS_H

#include "api.h"

const struct kvmlog_record *kvmlog_bpf_part(struct kvmlog_bpf_maps *maps, __u32 number);

#endif
