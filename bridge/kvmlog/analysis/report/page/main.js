// SPDX-License-Identifier: GPL-2.0-or-later
// Draws everything, last of all scripts. A chart that fails leaves the others and the tables.
"use strict";

(async () => {
  const draw = [kvmlog.parts, kvmlog.heat, kvmlog.icicle, kvmlog.changes, kvmlog.timeline];
  for (const one of draw) {
    try {
      await one();
    } catch (error) {
      console.error(error);
    }
  }
  document.documentElement.dataset.drawn = "true";
})();
