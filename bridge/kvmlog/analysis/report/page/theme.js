// SPDX-License-Identifier: GPL-2.0-or-later
// Light and dark: as the system has it, or as chosen; paper is light.
"use strict";

(() => {
  const root = document.documentElement;
  const choice = kvmlog.byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");

  // A page in a mail client, or opened as a file, may have no storage.
  const remembered = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("kvmlog-report-theme") || "";
      localStorage.setItem("kvmlog-report-theme", value);
    } catch {
      /* Then the choice lasts as long as the page. */
    }
    return value || "";
  };

  const apply = () => {
    const name = choice.value || (system.matches ? "dark" : "light");
    root.dataset.theme = kvmlog.printing ? "light" : name;
    kvmlog.redraw();
  };

  choice.value = remembered();
  choice.addEventListener("change", () => {
    remembered(choice.value);
    apply();
  });
  system.addEventListener("change", apply);
  let opened = [];
  addEventListener("beforeprint", () => {
    kvmlog.printing = true;
    opened = [...document.querySelectorAll("#findings ~ details:not([open])")];
    for (const one of opened) one.open = true;
    kvmlog.fit(true);
    apply();
  });
  addEventListener("afterprint", () => {
    kvmlog.printing = false;
    for (const one of opened) one.open = false;
    kvmlog.fit(false);
    apply();
  });
  kvmlog.byId("print").addEventListener("click", () => print());
  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
  kvmlog.applyTheme = apply;
  root.dataset.theme = choice.value || (system.matches ? "dark" : "light");
})();
