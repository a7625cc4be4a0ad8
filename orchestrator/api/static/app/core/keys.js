// Keyboard shortcuts, off while a field has the focus. The latest registered handler runs first.
import { useEffect, useRef } from "./html.js";

const layers = [];
let prefix = "";

const inField = (target) => target.closest?.("input, textarea, select, [contenteditable]");

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  if (inField(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const name = prefix + event.key;
  prefix = event.key === "g" && !prefix ? "g " : "";
  for (const layer of [...layers].reverse()) {
    const act = layer.current[name];
    // A handler that returns false passes the key to the next handler.
    if (act && act(event) !== false) {
      event.preventDefault();
      return;
    }
  }
}

export const begin = () => document.addEventListener("keydown", pressed);

export function useKeys(map) {
  const latest = useRef(map);
  latest.current = map;
  useEffect(() => {
    layers.push(latest);
    return () => layers.splice(layers.indexOf(latest), 1);
  }, []);
}

// Move the focus by j and k among elements with the attribute data-row.
export function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
}
