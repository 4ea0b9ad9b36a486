// SPDX-License-Identifier: GPL-2.0-or-later
// The heat map, who spent the time, and what changed.
"use strict";

(() => {
  const { data } = kvmlog;

  kvmlog.heat = () => {
    const { maps, from_ns: bounds, columns } = data.heat;
    if (!maps.length) return;
    const select = kvmlog.byId("heat-guest");
    kvmlog.options(select, maps.map((map, at) => [String(at), map.name]));
    const width = data.length_ns / columns;
    const chart = kvmlog.chart("heat-chart", (own) => {
      const map = maps[Number(select.value)];
      const most = Math.max(1, ...map.cells.map((cell) => cell[2]));
      const axis = kvmlog.axis();
      own.setOption({
        animation: false,
        grid: { left: 64, right: 14, top: 8, bottom: 30 },
        tooltip: {
          ...kvmlog.tooltip(),
          formatter: ({ data: cell }) =>
            kvmlog.tip(
              `${kvmlog.time(cell[0] * width, 3)} to ${kvmlog.time((cell[0] + 1) * width, 3)}\n` +
                `${kvmlog.duration(bounds[cell[1]])} to ${kvmlog.duration(bounds[cell[1] + 1])}: ` +
                `${kvmlog.count(cell[3])} exits`,
            ),
        },
        xAxis: {
          ...axis,
          type: "category",
          data: Array.from({ length: columns }, (_, at) => kvmlog.time(at * width, data.length_ns > 3e10 ? 0 : 3)),
          axisLabel: { ...axis.axisLabel, hideOverlap: true },
        },
        yAxis: {
          ...axis,
          type: "category",
          data: bounds.slice(0, -1).map((ns) => kvmlog.duration(ns)),
          axisLabel: { ...axis.axisLabel, hideOverlap: true },
        },
        visualMap: {
          show: false,
          min: 0,
          max: Math.log10(most + 1),
          dimension: 2,
          inRange: { color: [0, 1, 2, 3].map((at) => kvmlog.colour(`heat-${at}`)) },
        },
        series: [
          {
            // Not ECharts' own heat map, which paints piece by piece and is not done on paper.
            type: "custom",
            progressive: 0,
            encode: { x: 0, y: 1 },
            renderItem: (_, api) => {
              const [x, y] = api.coord([api.value(0), api.value(1)]);
              const [wide, high] = api.size([1, 1]);
              return {
                type: "rect",
                // A little wider, so that no seam of the paper shows.
                shape: { x: x - wide / 2, y: y - high / 2, width: wide + 0.6, height: high + 0.6 },
                style: { fill: api.visual("color") },
              };
            },
            data: map.cells.map(([x, y, count]) => [x, y, Math.log10(count + 1), count]),
          },
        ],
      });
    });
    select.addEventListener("change", () => {
      chart.clear();
      kvmlog.redraw();
    });
  };

  const barHeight = (id, bars) => {
    kvmlog.byId(id).style.height = `${Math.max(120, bars * 26 + 70)}px`;
  };

  const bars = (id, names, series, label) => {
    barHeight(id, names.length);
    kvmlog.chart(id, (own) => {
      const axis = kvmlog.axis();
      const narrow = own.getWidth() < 600;
      own.setOption({
        animation: false,
        grid: { left: narrow ? 110 : 220, right: 24, top: 34, bottom: 30 },
        legend: { show: series().length > 1, top: 0, textStyle: { color: kvmlog.colour("ink") } },
        tooltip: {
          ...kvmlog.tooltip(),
          formatter: ({ name, seriesName, value }) =>
            kvmlog.tip(`${name}${seriesName ? `, ${seriesName}` : ""}: ${label(value)}`),
        },
        xAxis: {
          ...axis,
          type: "value",
          splitNumber: narrow ? 3 : 6,
          axisLabel: { ...axis.axisLabel, formatter: label, hideOverlap: true },
        },
        yAxis: {
          ...axis,
          type: "category",
          inverse: true,
          data: names,
          axisLabel: { ...axis.axisLabel, width: narrow ? 96 : 206, overflow: "truncate", interval: 0 },
        },
        series: series(),
      });
    });
  };

  kvmlog.parts = () => {
    const { reasons, parts } = data.parts;
    if (!reasons.length) return;
    bars(
      "parts-chart",
      reasons.map((one) => one.name),
      () =>
        parts.map((name, at) => ({
          name,
          type: "bar",
          stack: "time",
          itemStyle: { color: kvmlog.colour(name.toLowerCase()) },
          data: reasons.map((one) => one.ns[at]),
        })),
      kvmlog.duration,
    );
  };

  kvmlog.changes = () => {
    const { changes } = data;
    if (!changes || !changes.length) return;
    const label = (ns) => (ns < 0 ? "−" : "+") + kvmlog.duration(Math.abs(ns));
    bars(
      "changes-chart",
      changes.map((one) => one.name),
      () => [
        {
          type: "bar",
          data: changes.map((one) => ({
            value: one.ns,
            itemStyle: { color: kvmlog.colour(one.ns > 0 ? "more" : "less") },
          })),
        },
      ],
      (ns) => (ns ? label(ns) : "0"),
    );
  };
})();
