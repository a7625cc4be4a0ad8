// Pages by path: handles links in the page, and updates the browser's address and history.
import { store } from "./store.js";

// The time that a page may take to fetch its content.
const CONTENT_MS = 5000;
const current = () => ({ path: location.pathname, search: location.search, hash: location.hash });
export const place = store(current());
export const query = () => new URLSearchParams(place.get().search);

export function go(to, { replace = false } = {}) {
  const made = new URL(to, location.href);
  if (made.href === location.href) return;
  const samePage = made.pathname === location.pathname && made.search === location.search;
  if (!replace) history.replaceState({ scrolled: scrollY }, "");
  history[replace ? "replaceState" : "pushState"](null, "", made);
  place.set(current());
  if (!replace && !samePage) scrollTo(0, 0);
}

// Puts the state of a view (a filter, a line) into the address, without a new entry in the history.
export function note(search) {
  const made = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(search)) {
    if (value) made.set(name, value);
    else made.delete(name);
  }
  go(location.pathname + (made.size ? `?${made}` : "") + location.hash, { replace: true });
}

export function begin() {
  addEventListener("popstate", (event) => {
    place.set(current());
    const until = performance.now() + CONTENT_MS;
    requestAnimationFrame(() => scrollBack(event.state?.scrolled, until));
  });
  addEventListener("hashchange", () => place.set(current()));
  document.addEventListener("click", clicked);
}

// Scrolls to the position at which the user left the page, as soon as its content is there.
function scrollBack(to, until) {
  if (!to) return;
  const isThere = !document.querySelector("main .loading") && document.documentElement.scrollHeight >= to + innerHeight;
  if (isThere) scrollTo(0, to);
  else if (performance.now() < until) requestAnimationFrame(() => scrollBack(to, until));
}

function clicked(event) {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || link.hasAttribute("download")) return;
  const to = new URL(link.getAttribute("href"), location.href);
  if (to.origin !== location.origin || !isPage(to.pathname)) return;
  // The browser itself moves to a place in this page, and the focus follows.
  if (to.hash && to.pathname + to.search === location.pathname + location.search) return;
  event.preventDefault();
  go(to.href);
}

const isPage = (path) => !/^\/(docs|openapi\.json|api|static|metrics)(\/|$)/.test(path);

// Converts "/jobs/:job/w/:worker" to a function that returns a path's parameters, or null.
export function pattern(text) {
  const made = new RegExp(`^${text.replace(/:(\w+)/g, "(?<$1>[^/]+)")}/?$`);
  return (path) => {
    const found = made.exec(path);
    if (!found) return null;
    return Object.fromEntries(
      Object.entries(found.groups || {}).map(([name, value]) => [name, decoded(value)]),
    );
  };
}

export function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
