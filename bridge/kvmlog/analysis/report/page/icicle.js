// SPDX-License-Identifier: GPL-2.0-or-later
// The icicle: all, guests, reasons, details, each as wide as the time that its exits took.
"use strict";

(() => {
  const ROW_PX = 44;

  kvmlog.icicle = () => {
    const tree = kvmlog.data.icicle;
    if (!tree.ns) return;
    const element = kvmlog.byId("icicle-chart");
    const status = kvmlog.byId("icicle-chosen");
    const nodes = [];
    // Colours as in the time line are by rank there; here, by the order of the first level.
    const place = (node, parent, depth, from, colour) => {
      const own = { ...node, parent, depth, from, to: from + node.ns, colour, at: nodes.length };
      nodes.push(own);
      let next = from;
      (node.children || []).forEach((child, rank) => {
        place(child, own, depth + 1, next, depth === 1 ? Math.min(9, rank) : colour);
        next += child.ns;
      });
    };
    place(tree, null, 0, 0, 9);
    const depths = Math.max(...nodes.map((node) => node.depth)) + 1;
    let root = nodes[0];
    let chosen = nodes[0];

    const path = (node) => (node.parent ? `${path(node.parent)} › ${node.name}` : node.name);
    const describe = (node) =>
      `${path(node)}: ${kvmlog.duration(node.ns)}, ${((node.ns * 100) / tree.ns).toFixed(1)}% of all` +
      `${node.exits ? `, ${kvmlog.count(node.exits)} exits` : ""}`;

    element.style.height = `${depths * ROW_PX + 8}px`;
    const draw = (chart) => {
      const width = chart.getWidth();
      const span = root.to - root.from;
      const visible = nodes.filter((node) => {
        const wide = ((Math.min(node.to, root.to) - Math.max(node.from, root.from)) / span) * width;
        return wide >= 0.7;
      });
      chart.setOption(
        {
          animation: false,
          tooltip: {
            ...kvmlog.tooltip(),
            formatter: ({ data: item }) => kvmlog.tip(describe(nodes[item[0]])),
          },
          xAxis: { show: false, type: "value", min: root.from, max: root.to },
          yAxis: { show: false, type: "value", min: 0, max: depths, inverse: true },
          grid: { left: 2, right: 2, top: 2, bottom: 2 },
          series: [
            {
              type: "custom",
              clip: true,
              encode: { x: [1, 2], y: 3 },
              renderItem: (_, api) => {
                const node = nodes[api.value(0)];
                const [left, top] = api.coord([Math.max(node.from, root.from), node.depth]);
                const [right, bottom] = api.coord([Math.min(node.to, root.to), node.depth + 1]);
                const wide = right - left;
                const fill = node.depth < 2 ? kvmlog.colour("panel") : kvmlog.colour(`c${node.colour}`);
                return {
                  type: "rect",
                  shape: { x: left, y: top, width: wide, height: bottom - top },
                  style: {
                    fill,
                    stroke: kvmlog.colour(node === chosen ? "ink" : "paper"),
                    lineWidth: node === chosen ? 3 : 1,
                  },
                  textContent: {
                    style: {
                      text: wide > 30 ? node.name : "",
                      fill: node.depth < 2 ? kvmlog.colour("ink") : kvmlog.colour("paper"),
                      fontSize: 12,
                      overflow: "truncate",
                      width: wide - 10,
                    },
                  },
                  textConfig: { position: "insideLeft" },
                };
              },
              data: visible.map((node) => [node.at, node.from, node.to, node.depth]),
            },
          ],
        },
        { replaceMerge: ["series"] },
      );
    };
    const chart = kvmlog.chart("icicle-chart", draw);

    const choose = (node) => {
      if (!node) return;
      chosen = node;
      status.textContent = describe(node);
      draw(chart);
    };
    const zoom = (node) => {
      root = node;
      choose(node);
    };
    const up = () => zoom(root.parent || nodes[0]);
    chart.on("click", ({ data: item }) => zoom(nodes[item[0]]));
    kvmlog.byId("icicle-up").addEventListener("click", up);
    const sibling = (node, way) => {
      const own = nodes.filter((one) => one.depth === node.depth);
      return own[own.indexOf(node) + way];
    };
    const keys = {
      ArrowLeft: () => choose(sibling(chosen, -1)),
      ArrowRight: () => choose(sibling(chosen, 1)),
      ArrowUp: () => choose(chosen.parent),
      ArrowDown: () => choose(nodes.find((node) => node.parent === chosen)),
      Enter: () => zoom(chosen),
      Escape: up,
    };
    element.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  };
})();
