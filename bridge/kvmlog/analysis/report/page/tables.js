// SPDX-License-Identifier: GPL-2.0-or-later
// Tables: sorted by a click on a column's title, and short until they are opened.
"use strict";

(() => {
  const SHORT = 15;

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
  };

  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one === "number") return 1;
    if (typeof other === "number") return -1;
    return one.localeCompare(other, "en", { numeric: true });
  };

  const sort = (table, column, title) => {
    const down = title.getAttribute("aria-sort") !== "descending";
    for (const other of title.parentNode.cells) other.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    rows.sort((one, other) => (down ? -1 : 1) * compare(one[0], other[0]));
    body.append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("main table")) {
    const rows = table.tBodies[0].rows.length;
    if (rows > 1 && !table.closest("details")) {
      [...table.tHead.rows[0].cells].forEach((title, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = title.textContent;
        button.addEventListener("click", () => sort(table, column, title));
        title.replaceChildren(button);
      });
    }
    if (rows > SHORT + 5) {
      table.classList.add("short");
      const button = document.createElement("button");
      button.type = "button";
      const label = () => {
        const short = table.classList.contains("short");
        button.setAttribute("aria-expanded", String(!short));
        button.textContent = short ? `Show all ${kvmlog.count(rows)} rows` : "Show fewer rows";
      };
      button.addEventListener("click", () => {
        table.classList.toggle("short");
        label();
      });
      label();
      table.parentNode.after(button);
    }
  }
})();
