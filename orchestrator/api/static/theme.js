"use strict";
// Before the first paint: the theme that this browser chose.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
} catch {
  // A private window: the theme is that of the system.
}
