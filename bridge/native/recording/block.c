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
	STRIPE = 128,
	WORD_BYTES = 4,
	WORDS = PLANES / WORD_BYTES,
	LEVEL = 1, /* zstd's fastest of those that compress as usual */
};

_Static_assert(sizeof(struct kvmlog_record) == PLANES, "a plane for each byte");
_Static_assert(sizeof(struct kvmlog_recording_start) == 32, "start");
_Static_assert(sizeof(struct kvmlog_recording_block) == 56, "block");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they are");

union row {
	struct kvmlog_record residual;
	__u32 words[WORDS];
	__u8 bytes[PLANES];
};

struct work {
	struct kvmlog_residual_state state;
	union row stripe[STRIPE];
	__u8 planes[PLANES][KVMLOG_RECORDING_BLOCK_RECORDS];
};

static __u32 rows_from(__u32 at, __u32 count)
{
	return count - at < STRIPE ? count - at : STRIPE;
}

/*
 * A few records at once, whose residuals stay in the cache. Most of their words are zero in all
 * of them, as the planes are from the beginning: those are not looked at byte by byte.
 */
static void stripe_to_planes(struct work *work, const struct kvmlog_record *records, __u32 at,
			     __u32 rows, __u8 *used)
{
	__u32 any[WORDS] = { 0 };

	for (__u32 i = 0; i < rows; i++) {
		kvmlog_residual_take(&work->state, &records[i], &work->stripe[i].residual);
		for (int word = 0; word < WORDS; word++)
			any[word] |= work->stripe[i].words[word];
	}
	for (int plane = 0; plane < PLANES; plane++) {
		if (!(any[plane / WORD_BYTES] >> plane % WORD_BYTES * 8 & 0xff))
			continue;
		used[plane] = 1;
		for (__u32 i = 0; i < rows; i++)
			work->planes[plane][at + i] = work->stripe[i].bytes[plane];
	}
}

/* Tells which planes are not zero, a byte each, and the least and the greatest time. */
static void to_planes(struct work *work, const struct kvmlog_record *records, __u32 count,
		      __u8 *used, __u64 *times)
{
	times[0] = times[1] = records[0].exit_ns;
	for (__u32 i = 0; i < count; i++) {
		__u64 ns = records[i].exit_ns; /* the others have their time there, too */

		times[0] = ns < times[0] ? ns : times[0];
		times[1] = ns > times[1] ? ns : times[1];
	}
	for (__u32 at = 0; at < count; at += STRIPE)
		stripe_to_planes(work, &records[at], at, rows_from(at, count), used);
}

/*
 * Fills @out, KVMLOG_RECORDING_RECORDS_BYTES long, with the content of a block; returns its
 * bytes; @times: least and greatest time. -EINVAL: none, or too many records; -ENOMEM.
 */
__s64 kvmlog_recording_encode(const struct kvmlog_record *records, __u32 count, __u8 *out,
			      __u64 *times)
{
	__u8 used[PLANES] = { 0 }, *lengths, *at;
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

static void stripe_from_planes(struct work *work, const __u8 *bitmap, struct kvmlog_record *records,
			       __u32 at, __u32 rows)
{
	memset(work->stripe, 0, rows * sizeof(*work->stripe));
	for (int plane = 0; plane < PLANES; plane++) {
		if (!(bitmap[plane / 8] >> plane % 8 & 1))
			continue;
		for (__u32 i = 0; i < rows; i++)
			work->stripe[i].bytes[plane] = work->planes[plane][at + i];
	}
	for (__u32 i = 0; i < rows; i++)
		kvmlog_residual_restore(&work->state, &work->stripe[i].residual, &records[i]);
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
	for (__u32 at = 0; !rc && at < count; at += STRIPE)
		stripe_from_planes(work, stored, &records[at], at, rows_from(at, count));
	ZSTD_freeDCtx(context);
	free(work);
	return rc;
}
