// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The content of a block of records: their residuals by planes (byte 0 of all records, byte 1 of
 * all records, ...), each compressed by itself. Most planes are zero and not there at all; the
 * numbers of one plane are alike, those of two are not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "recording/residual.h"

enum {
	PLANES = KVMLOG_RECORDING_PLANES,
	BITMAP_BYTES = KVMLOG_RECORDING_BITMAP_BYTES,
	LENGTH_BYTES = 4,
	LEVEL = 1, /* zstd's fastest of those that compress as usual */
};

_Static_assert(sizeof(struct kvmlog_record) == PLANES, "a plane for each byte");
_Static_assert(sizeof(struct kvmlog_recording_start) == 32, "start");
_Static_assert(sizeof(struct kvmlog_recording_block) == 56, "block");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they are");

struct work {
	struct kvmlog_residual_state state;
	__u8 planes[PLANES][KVMLOG_RECORDING_BLOCK_RECORDS];
};

/* Tells which planes are not zero, a byte each, and the least and the greatest time. */
static void to_planes(struct work *work, const struct kvmlog_record *records, __u32 count,
		      __u8 *used, __u64 *times)
{
	memset(used, 0, PLANES);
	times[0] = times[1] = records[0].exit_ns;
	for (__u32 i = 0; i < count; i++) {
		struct kvmlog_record residual;
		const __u8 *bytes = (const __u8 *)&residual;
		__u64 ns = records[i].exit_ns; /* the others have their time there, too */

		times[0] = ns < times[0] ? ns : times[0];
		times[1] = ns > times[1] ? ns : times[1];
		kvmlog_residual_take(&work->state, &records[i], &residual);
		for (int plane = 0; plane < PLANES; plane++) {
			work->planes[plane][i] = bytes[plane];
			used[plane] |= bytes[plane];
		}
	}
}

/*
 * Fills @out, KVMLOG_RECORDING_RECORDS_BYTES long, with the content of a block; returns its
 * bytes; @times: least and greatest time. -EINVAL: none, or too many records; -ENOMEM.
 */
__s64 kvmlog_recording_encode(const struct kvmlog_record *records, __u32 count, __u8 *out,
			      __u64 *times)
{
	__u8 used[PLANES], *lengths, *at;
	ZSTD_CCtx *context;
	struct work *work;
	__u32 planes = 0;

	if (!count || count > KVMLOG_RECORDING_BLOCK_RECORDS)
		return -EINVAL;
	work = calloc(1, sizeof(*work));
	context = ZSTD_createCCtx();
	if (!work || !context) {
		free(work);
		ZSTD_freeCCtx(context);
		return -ENOMEM;
	}
	to_planes(work, records, count, used, times);
	memset(out, 0, BITMAP_BYTES);
	for (int plane = 0; plane < PLANES; plane++) {
		if (!used[plane])
			continue;
		out[plane / 8] |= (__u8)(1 << plane % 8);
		planes++;
	}
	lengths = out + BITMAP_BYTES;
	at = lengths + planes * LENGTH_BYTES;
	for (int plane = 0; plane < PLANES; plane++) {
		__u32 length = count;
		size_t packed;

		if (!used[plane])
			continue;
		/* What does not get shorter stays as it is, which its length tells. */
		packed = ZSTD_compressCCtx(context, at, count - 1, work->planes[plane], count,
					   LEVEL);
		if (!ZSTD_isError(packed))
			length = (__u32)packed;
		else
			memcpy(at, work->planes[plane], count);
		memcpy(lengths, &length, LENGTH_BYTES);
		lengths += LENGTH_BYTES;
		at += length;
	}
	ZSTD_freeCCtx(context);
	free(work);
	return at - out;
}

static int read_planes(struct work *work, ZSTD_DCtx *context, const __u8 *stored, __u64 bytes,
		       __u32 count)
{
	const __u8 *end = stored + bytes, *lengths = stored + BITMAP_BYTES, *at;
	__u32 planes = 0;

	if (bytes < BITMAP_BYTES || stored[PLANES / 8] || stored[PLANES / 8 + 1])
		return -EBADMSG;
	for (int plane = 0; plane < PLANES; plane++)
		planes += stored[plane / 8] >> plane % 8 & 1;
	if ((__u64)(end - lengths) < (__u64)planes * LENGTH_BYTES)
		return -EBADMSG;
	at = lengths + planes * LENGTH_BYTES;
	for (int plane = 0; plane < PLANES; plane++) {
		__u32 length;

		if (!(stored[plane / 8] >> plane % 8 & 1))
			continue;
		memcpy(&length, lengths, LENGTH_BYTES);
		lengths += LENGTH_BYTES;
		if (length > count || length > (__u64)(end - at))
			return -EBADMSG;
		if (length == count)
			memcpy(work->planes[plane], at, count);
		else if (ZSTD_decompressDCtx(context, work->planes[plane], count, at, length) !=
			 count)
			return -EBADMSG;
		at += length;
	}
	return at == end ? 0 : -EBADMSG;
}

/*
 * Restores the @count records of a block's content. -EBADMSG: it is not what the function above
 * makes; whatever is in it, no more than @count records are written.
 */
int kvmlog_recording_decode(const __u8 *stored, __u64 bytes, struct kvmlog_record *records,
			    __u32 count)
{
	ZSTD_DCtx *context;
	struct work *work;
	int rc = -ENOMEM;

	if (!count || count > KVMLOG_RECORDING_BLOCK_RECORDS)
		return -EINVAL;
	/* Planes that are not there are zero. */
	work = calloc(1, sizeof(*work));
	context = ZSTD_createDCtx();
	if (work && context)
		rc = read_planes(work, context, stored, bytes, count);
	for (__u32 i = 0; !rc && i < count; i++) {
		struct kvmlog_record residual;
		__u8 *raw = (__u8 *)&residual;

		for (int plane = 0; plane < PLANES; plane++)
			raw[plane] = work->planes[plane][i];
		kvmlog_residual_restore(&work->state, &residual, &records[i]);
	}
	ZSTD_freeDCtx(context);
	free(work);
	return rc;
}
