// SPDX-License-Identifier: GPL-2.0-or-later
// The time line: a lane per vCPU, or per guest; zoomed out the longest exit of each two pixels,
// zoomed in each exit. Whatever is drawn is computed anew from the exits in view.
"use strict";

(() => {
  const LANES_MOST = 64;
  const SINGLES_MOST = 3000;
  const LANE_PX = [34, 84];
  const LANES_PX = 320;
  const LEAST_WINDOW_NS = 1000;
  const LEFT = 116;
  const RIGHT = 14;

  /** How high a bar is, 0 to 1: 100 ns nothing, 10 s all. */
  const height = (ns) => Math.min(1, Math.max(0.05, (Math.log10(Math.max(ns, 100)) - 2) / 8));

  kvmlog.timeline = async () => {
    const source = kvmlog.data.timeline;
    if (!source.exits) return;
    const exits = await kvmlog.unpack(source);
    const { begin, total, code, vmm, cpu, kinds } = exits;
    const length = Math.max(1, kvmlog.data.length_ns);
    const shown = { from: 0, to: length, lanes: [], lanePx: LANE_PX[0], chosen: -1 };
    const hidden = new Set();
    const select = kvmlog.byId("timeline-guest");
    const status = kvmlog.byId("timeline-chosen");
    const element = kvmlog.byId("timeline-chart");

    const guests = [...new Set(exits.tracks.map((track) => track.guest))];
    const choices = guests.map((guest, at) => [String(at), `${guest}: each vCPU`]);
    if (guests.length > 1) choices.unshift(["", `all ${guests.length} guests, a lane each`]);
    kvmlog.options(select, choices);

    // Colours go to the reasons that took most time; the others share the last.
    const spent = new Map();
    for (let at = 0; at < exits.size; at++) {
      const [reason, , , halt] = kinds[code[at]];
      spent.set(reason, (spent.get(reason) || 0) + (halt ? 0 : total[at]));
    }
    const ranked = [...spent.keys()].sort((one, other) => spent.get(other) - spent.get(one));
    const colourOf = (reason) => kvmlog.colour(`c${Math.min(9, ranked.indexOf(reason))}`);
    let colours = [];
    const isHalt = Uint8Array.from(kinds, (kind) => kind[3]);

    const vcpu = (track) => (track.vcpu === null ? "no vCPU" : `vCPU ${track.vcpu}`);

    const lanes = () => {
      if (select.value === "") {
        return guests.slice(0, LANES_MOST).map((guest) => ({
          name: guest,
          tracks: exits.tracks.filter((track) => track.guest === guest),
        }));
      }
      return exits.tracks
        .filter((track) => track.guest === guests[Number(select.value)])
        .slice(0, LANES_MOST)
        .map((track) => ({ name: vcpu(track), tracks: [track] }));
    };

    /** The places of a track's exits that reach into a window. */
    const within = (track, from, to) => {
      let low = kvmlog.lowerBound(begin, track.from, track.to, from);
      const high = kvmlog.lowerBound(begin, low, track.to, to);
      for (let back = 0; back < 4 && low > track.from; back++) {
        if (begin[low - 1] + total[low - 1] > from) low--;
      }
      return [low, high];
    };

    /** What a lane shows: [lane, from ns, to ns, height, place of the exit, is one exit]. */
    const items = (lane, number, bins, found) => {
      const { from, to } = shown;
      const width = (to - from) / bins;
      const ranges = lane.tracks.map((track) => within(track, from, to));
      const inView = ranges.reduce((sum, [low, high]) => sum + high - low, 0);
      const single = inView <= SINGLES_MOST / Math.max(1, shown.lanes.length / 4);
      const longest = new Int32Array(bins).fill(-1);
      const halted = new Int32Array(bins).fill(-1);
      for (const [low, high] of ranges) {
        for (let at = low; at < high; at++) {
          if (hidden.size && hidden.has(kinds[code[at]][0])) continue;
          if (single || total[at] >= 3 * width) {
            found.push([number, begin[at], begin[at] + total[at], height(total[at]), at, 1]);
            continue;
          }
          const bin = Math.min(bins - 1, Math.max(0, Math.floor((begin[at] - from) / width)));
          const most = isHalt[code[at]] ? halted : longest;
          if (most[bin] < 0 || total[at] > total[most[bin]]) most[bin] = at;
        }
      }
      for (const most of [halted, longest]) {
        for (let bin = 0; bin < bins; bin++) {
          const at = most[bin];
          if (at < 0) continue;
          const left = from + bin * width;
          found.push([number, left, left + width, height(total[at]), at, 0]);
        }
      }
      return inView;
    };

    const describe = (at) => {
      const [reason, words, returned, halt, nested] = kinds[code[at]];
      const track = exits.tracks.find((one) => at >= one.from && at < one.to);
      const parts = [
        `${kvmlog.time(begin[at], 9)}  ${track.guest}, ${vcpu(track)}`,
        `${reason}${words ? ` ${words}` : ""}: ${kvmlog.duration(total[at])}`,
      ];
      if (halt) parts.push("a halt");
      if (nested) parts.push("of a nested guest");
      if (returned) parts.push(`${returned}, ${vmm[at]}% of it in the VMM`);
      if (cpu[at] !== 65535) parts.push(`on host CPU ${cpu[at]}`);
      return parts.join(", ");
    };

    const choose = (at) => {
      shown.chosen = at;
      if (at >= 0) status.textContent = describe(at);
    };

    const digits = () => {
      const span = shown.to - shown.from;
      return span > 3e10 ? 0 : span > 3e8 ? 3 : span > 3e5 ? 6 : 9;
    };

    const draw = (chart) => {
      colours = kinds.map(([reason, , , halt]) =>
        halt ? kvmlog.colour("halt") : colourOf(reason),
      );
      shown.lanes = lanes();
      const fair = Math.floor(LANES_PX / shown.lanes.length);
      shown.lanePx = Math.max(LANE_PX[0], Math.min(LANE_PX[1], fair));
      const tall = shown.lanes.length * shown.lanePx + 74;
      if (element.clientHeight !== tall && !kvmlog.printing) {
        element.style.height = `${tall}px`;
        chart.resize();
      }
      const bins = Math.max(50, Math.floor((chart.getWidth() - LEFT - RIGHT) / 2));
      const found = [];
      shown.lanes.forEach((lane, number) => items(lane, number, bins, found));
      const axis = kvmlog.axis();
      const ink = kvmlog.colour("ink");
      chart.setOption(
        {
          animation: false,
          grid: { left: LEFT, right: RIGHT, top: 8, bottom: 62 },
          tooltip: {
            ...kvmlog.tooltip(),
            formatter: ({ data: item }) =>
              kvmlog.tip((item[5] ? "" : "the longest here: ") + describe(item[4])),
          },
          xAxis: {
            ...axis,
            type: "value",
            min: 0,
            max: length,
            splitNumber: Math.max(2, Math.floor(chart.getWidth() / 160)),
            axisLabel: {
              ...axis.axisLabel,
              hideOverlap: true,
              showMinLabel: false,
              showMaxLabel: false,
              formatter: (ns) => kvmlog.time(ns, digits()),
            },
          },
          yAxis: {
            ...axis,
            type: "category",
            inverse: true,
            data: shown.lanes.map((lane) => lane.name),
            axisLabel: { ...axis.axisLabel, width: LEFT - 16, overflow: "truncate", interval: 0 },
            splitLine: { ...axis.splitLine, show: true },
          },
          dataZoom: [
            { type: "inside", filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false },
            {
              type: "slider",
              filterMode: "none",
              height: 22,
              bottom: 6,
              showDataShadow: false,
              showDetail: false,
              borderColor: kvmlog.colour("line"),
              fillerColor: `${kvmlog.colour("accent")}33`,
            },
          ].map((zoom) => ({ ...zoom, startValue: shown.from, endValue: shown.to })),
          series: [
            {
              type: "custom",
              clip: true,
              progressive: 0,
              encode: { x: [1, 2], y: 0 },
              dimensions: ["lane", "from", "to", "height", "exit", "single"],
              renderItem: (_, api) => {
                const lane = api.value(0);
                const [left, base] = api.coord([api.value(1), lane]);
                const [right] = api.coord([api.value(2), lane]);
                const at = api.value(4);
                const high = (shown.lanePx - 6) * api.value(3);
                return {
                  type: "rect",
                  shape: {
                    x: left,
                    y: base + (shown.lanePx - 6) / 2 - high,
                    width: Math.max(1, right - left),
                    height: high,
                  },
                  style: {
                    fill: colours[code[at]],
                    stroke: at === shown.chosen ? ink : undefined,
                    lineWidth: at === shown.chosen ? 2 : 0,
                  },
                };
              },
              data: found,
            },
          ],
        },
        { replaceMerge: ["series"] },
      );
    };

    const chart = kvmlog.chart("timeline-chart", draw);

    const show = (from, to) => {
      const span = Math.min(length, Math.max(LEAST_WINDOW_NS, to - from));
      shown.from = Math.min(Math.max(0, from), length - span);
      shown.to = shown.from + span;
      draw(chart);
    };

    let waiting = false;
    chart.on("datazoom", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const zoom = chart.getOption().dataZoom[0];
        if (zoom.startValue !== shown.from || zoom.endValue !== shown.to) {
          show(zoom.startValue, zoom.endValue);
        }
      });
    });
    chart.on("click", ({ data: item }) => {
      choose(item[4]);
      draw(chart);
    });

    /** Zoom so that an exit takes a fifth of the width, or moves into view where it does not fit. */
    const lead = (at, near) => {
      choose(at);
      const span = near ? Math.max(total[at] * 5, 20000) : shown.to - shown.from;
      const middle = begin[at] + total[at] / 2;
      const inside = begin[at] >= shown.from && begin[at] + total[at] <= shown.to;
      if (near || !inside) show(middle - span / 2, middle + span / 2);
      else draw(chart);
    };

    const longest = () => {
      let found = -1;
      for (const lane of shown.lanes) {
        for (const track of lane.tracks) {
          const [low, high] = within(track, shown.from, shown.to);
          for (let at = low; at < high; at++) {
            if (isHalt[code[at]] || hidden.has(kinds[code[at]][0])) continue;
            if (found < 0 || total[at] > total[found]) found = at;
          }
        }
      }
      if (found >= 0) lead(found, false);
    };

    const step = (way) => {
      if (shown.chosen < 0) {
        longest();
        return;
      }
      const track = exits.tracks.find((one) => shown.chosen >= one.from && shown.chosen < one.to);
      const next = shown.chosen + way;
      if (next >= track.from && next < track.to) lead(next, false);
    };

    const moves = {
      in: () => zoom(0.4),
      out: () => zoom(2.5),
      left: () => pan(-0.3),
      right: () => pan(0.3),
      all: () => show(0, length),
      longest,
      previous: () => step(-1),
      next: () => step(1),
    };
    const zoom = (factor) => {
      const chosen = shown.chosen;
      const seen = chosen >= 0 && begin[chosen] >= shown.from && begin[chosen] <= shown.to;
      const middle = seen ? begin[chosen] + total[chosen] / 2 : (shown.from + shown.to) / 2;
      const span = (shown.to - shown.from) * factor;
      show(middle - span / 2, middle + span / 2);
    };
    const pan = (part) => {
      const by = (shown.to - shown.from) * part;
      show(shown.from + by, shown.to + by);
    };
    const keys = {
      ArrowLeft: "left",
      ArrowRight: "right",
      ArrowUp: "in",
      ArrowDown: "out",
      "+": "in",
      "=": "in",
      "-": "out",
      0: "all",
      l: "longest",
      n: "next",
      p: "previous",
    };
    element.addEventListener("keydown", (event) => {
      const move = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      moves[move]();
    });
    for (const button of document.querySelectorAll("[data-move]")) {
      button.addEventListener("click", () => moves[button.dataset.move]());
    }
    select.addEventListener("change", () => {
      choose(-1);
      draw(chart);
    });

    for (const button of document.querySelectorAll("[data-exit]")) {
      button.addEventListener("click", () => {
        const [track, ns, total_ns] = JSON.parse(button.dataset.exit);
        const own = exits.tracks[track];
        if (!own) return;
        select.value = String(guests.indexOf(own.guest));
        let at = kvmlog.lowerBound(begin, own.from, own.to, ns - source.tick_ns);
        while (at < own.to - 1 && begin[at] <= ns && Math.abs(total[at] - total_ns) > source.tick_ns) at++;
        lead(Math.min(at, own.to - 1), true);
        element.scrollIntoView({ block: "center" });
        element.focus({ preventScroll: true });
      });
    }

    const legend = kvmlog.byId("timeline-legend");
    const label = (button, reason, swatch) => {
      button.replaceChildren(swatch, document.createTextNode(reason));
    };
    ranked.slice(0, 16).forEach((reason, rank) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      swatch.setAttribute("width", "10");
      swatch.setAttribute("height", "10");
      swatch.setAttribute("aria-hidden", "true");
      const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      square.setAttribute("width", "10");
      square.setAttribute("height", "10");
      const onlyHalts = !spent.get(reason);
      square.setAttribute("fill", onlyHalts ? "var(--halt)" : `var(--c${Math.min(9, rank)})`);
      swatch.append(square);
      label(button, reason, swatch);
      button.addEventListener("click", () => {
        const off = !hidden.delete(reason);
        if (off) hidden.add(reason);
        button.setAttribute("aria-pressed", String(!off));
        draw(chart);
      });
      item.append(button);
      legend.append(item);
    });
    kvmlog.ready = true;
  };
})();
