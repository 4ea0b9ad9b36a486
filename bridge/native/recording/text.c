// SPDX-License-Identifier: GPL-2.0-or-later
/* The content of a recording's blocks of text. */
#include <errno.h>
#include <zstd.h>

#include "api.h"

/* Room that a text of so many bytes may take when it is packed. */
__u64 kvmlog_recording_text_room(__u64 bytes)
{
	return ZSTD_compressBound(bytes);
}

/* Returns the packed bytes, at most @room; -ENOMEM. */
__s64 kvmlog_recording_pack(const __u8 *text, __u64 bytes, __u8 *out, __u64 room)
{
	size_t packed = ZSTD_compress(out, room, text, bytes, ZSTD_CLEVEL_DEFAULT);

	return ZSTD_isError(packed) ? -ENOMEM : (__s64)packed;
}

/* -EBADMSG: it does not hold exactly @bytes; no more are written. */
int kvmlog_recording_unpack(const __u8 *stored, __u64 stored_bytes, __u8 *text, __u64 bytes)
{
	size_t length = ZSTD_decompress(text, bytes, stored, stored_bytes);

	return ZSTD_isError(length) || length != bytes ? -EBADMSG : 0;
}
