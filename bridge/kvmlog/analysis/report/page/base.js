// SPDX-License-Identifier: GPL-2.0-or-later
// What the other scripts share: the page's data, colours, units, and charts that follow both.
"use strict";

const kvmlog = {};

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = [];

  kvmlog.data = data;

  kvmlog.byId = (id) => document.getElementById(id);

  /** The value of a colour of page.css. */
  kvmlog.colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** A duration of ns with three digits, as kvmlog prints it. */
  kvmlog.duration = (ns) => {
    if (ns < 1000) return `${Math.round(ns)}ns`;
    for (const [unit, each] of [["us", 1e3], ["ms", 1e6], ["s", 1e9]]) {
      for (const digits of [2, 1, 0]) {
        const text = (ns / each).toFixed(digits);
        if (Number(text) < 1000 && text.replace(".", "").length <= 3) return text + unit;
        if (digits === 0 && Number(text) < 1000) return text + unit;
      }
    }
    const seconds = Math.round(ns / 1e9);
    return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
  };

  kvmlog.count = (number) => number.toLocaleString("en-US");

  /** Local time of the traced host at ns since the page's beginning, with so many digits. */
  kvmlog.time = (ns, digits) => {
    const whole = Math.floor(ns / 1e9);
    const date = new Date((data.begun_s + whole + data.utc_offset_s) * 1000);
    let fraction = Math.floor(data.begun_ns + (ns - whole * 1e9));
    let text = date;
    if (fraction >= 1e9) {
      fraction -= 1e9;
      text = new Date(date.getTime() + 1000);
    }
    const clock = text.toISOString().slice(11, 19);
    if (!digits) return clock;
    return `${clock}.${String(fraction).padStart(9, "0").slice(0, digits)}`;
  };

  /** Text for a chart's tip, which must not be HTML. */
  kvmlog.tip = (text) => {
    const element = document.createElement("div");
    element.className = "tip";
    element.textContent = text;
    return element;
  };

  kvmlog.tooltip = () => ({
    backgroundColor: kvmlog.colour("panel"),
    borderColor: kvmlog.colour("line"),
    textStyle: { color: kvmlog.colour("ink"), fontSize: 13 },
    confine: true,
    transitionDuration: 0,
  });

  kvmlog.axis = () => ({
    axisLine: { lineStyle: { color: kvmlog.colour("soft") } },
    axisTick: { lineStyle: { color: kvmlog.colour("soft") } },
    axisLabel: { color: kvmlog.colour("soft") },
    nameTextStyle: { color: kvmlog.colour("soft") },
    splitLine: { lineStyle: { color: kvmlog.colour("line") } },
  });

  /** A chart in the element with this id; draw(chart) sets its options, again on each change. */
  kvmlog.chart = (id, draw) => {
    const element = kvmlog.byId(id);
    const chart = echarts.init(element, null, { renderer: "canvas" });
    const entry = { chart, draw: () => draw(chart) };
    charts.push(entry);
    entry.draw();
    new ResizeObserver(() => {
      if (kvmlog.printing || element.clientWidth === chart.getWidth()) return;
      chart.resize();
      entry.draw();
    }).observe(element);
    return chart;
  };

  // As wide as the narrower of A4 and Letter between its margins, in CSS pixels.
  const PAPER_PX = 950;

  /** Charts as wide as paper, or as the window again. */
  kvmlog.fit = (paper) => {
    for (const { chart } of charts) chart.resize({ width: paper ? PAPER_PX : "auto" });
  };

  kvmlog.redraw = () => {
    for (const { chart, draw } of charts) {
      draw();
      // Paper waits for no next frame.
      if (kvmlog.printing) chart.getZr().flush();
    }
  };

  /** Options of a <select>, each [value, text]. */
  kvmlog.options = (select, options) => {
    for (const [value, text] of options) select.add(new Option(text, value));
  };
})();
