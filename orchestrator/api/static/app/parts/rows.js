// A window of rows: of thousands of rows, only the visible ones are in the document.
import { useEffect, useLayoutEffect, useRef, useState } from "../core/html.js";

const SPARE = 12;

// Returns {holder, from, to, before, after}: the rows to draw, and the heights before and after them.
export function useWindow(count, height, { above = 200 } = {}) {
  const holder = useRef(null);
  const [from, setFrom] = useState(0);
  const all = count <= above;
  const inSight = Math.ceil(innerHeight / height) + 2 * SPARE;
  const latest = useRef({});
  latest.current = { count, height, inSight, all };

  const look = () => {
    const { count: n, height: h, inSight: k, all: whole } = latest.current;
    if (whole || !holder.current) return;
    const top = holder.current.getBoundingClientRect().top;
    const first = Math.floor(-top / h) - SPARE;
    setFrom(Math.max(0, Math.min(first - (first % 4), n - k)));
  };
  useEffect(() => {
    let frame = 0;
    const wish = () => {
      frame ||= requestAnimationFrame(() => { frame = 0; look(); });
    };
    addEventListener("scroll", wish, { passive: true });
    addEventListener("resize", wish);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", wish);
      removeEventListener("resize", wish);
    };
  }, []);
  useLayoutEffect(look, [count, height]);

  const start = all ? 0 : Math.min(from, Math.max(0, count - 1));
  const end = all ? count : Math.min(count, start + inSight);
  return { holder, from: start, to: end, before: start * height, after: (count - end) * height };
}

// Scrolls the page until a row is in the middle.
export function scrollToRow(holder, index, height) {
  if (!holder) return;
  const top = holder.getBoundingClientRect().top + scrollY;
  scrollTo({ top: Math.max(0, top + index * height - innerHeight / 2) });
}
