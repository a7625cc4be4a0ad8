"use strict";
// Sets the theme that this browser stored, before the first paint.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
} catch {
  // A private window has no storage: the system's theme applies.
}
