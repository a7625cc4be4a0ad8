// The tabs of a job or of a worker. On a phone, they scroll sideways; the current one is visible.
import { html, useEffect, useRef } from "../core/html.js";

export function Tabs({ label, current, children }) {
  const bar = useRef(null);
  useEffect(() => {
    const tab = bar.current.querySelector("[aria-current]");
    if (tab) bar.current.scrollLeft = tab.offsetLeft - bar.current.offsetLeft - (bar.current.clientWidth - tab.offsetWidth) / 2;
  }, [current]);
  return html`<nav class="tabs" aria-label=${label} ref=${bar}>${children}</nav>`;
}
