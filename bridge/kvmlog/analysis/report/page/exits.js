// SPDX-License-Identifier: GPL-2.0-or-later
// The exits of the page, unpacked: columns of bytes, as kvmlog.analysis.report.timeline packs them.
"use strict";

(() => {
  const inflate = async (base64) => {
    const text = atob(base64);
    const packed = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  /** Columns by name; since, total and begin in ns; tracks have from and to, places in them. */
  kvmlog.unpack = async (timeline) => {
    const bytes = await inflate(timeline.data);
    const size = timeline.exits;
    const exits = { kinds: timeline.kinds, tracks: timeline.tracks, size };
    let offset = 0;
    for (const [name, planes] of Object.entries(timeline.planes)) {
      const column = new Float64Array(size);
      for (let plane = 0, scale = 1; plane < planes; plane++, scale *= 256) {
        for (let at = 0; at < size; at++) column[at] += bytes[offset + at] * scale;
        offset += size;
      }
      exits[name] = column;
    }
    exits.begin = exits.since;
    let from = 0;
    for (const track of exits.tracks) {
      track.from = from;
      track.to = from + track.exits;
      // Times are since the exit before.
      for (let at = from + 1; at < track.to; at++) exits.begin[at] += exits.begin[at - 1];
      from = track.to;
    }
    for (let at = 0; at < size; at++) {
      exits.begin[at] *= timeline.tick_ns;
      exits.total[at] *= timeline.tick_ns;
    }
    return exits;
  };

  /** The first place from `from` to `to` whose exit begins at or after ns. */
  kvmlog.lowerBound = (begin, from, to, ns) => {
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (begin[middle] < ns) from = middle + 1;
      else to = middle;
    }
    return from;
  };
})();
