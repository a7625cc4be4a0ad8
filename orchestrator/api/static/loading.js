"use strict";
// Reloads the page if one of its files could not be fetched, for example while the server restarts.
// A script that failed to load is not fetched again without a reload.
const RELOADS = "reloads";
const PAUSES_MS = [250, 500, 1000, 2000, 4000];

const FILES = 'link[rel="stylesheet"], script[src]';

// The number of files that have arrived, for a slow connection. The dashboard replaces the text.
function showArrived() {
  const text = document.querySelector("p.opening");
  const all = document.querySelectorAll(FILES).length;
  const here = performance.getEntriesByType("resource").filter(({ name }) => name.includes("/static/v/")).length;
  if (text?.textContent.startsWith("Loading")) text.textContent = `Loading the dashboard: ${Math.min(here, all)} of ${all} files`;
  else if (text) arrived.disconnect();
}
const arrived = new PerformanceObserver(showArrived);
// Files may arrive before the text is parsed.
document.addEventListener("readystatechange", showArrived);
arrived.observe({ type: "resource", buffered: true });

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Without an answer of the server, the browser would replace the page by a page of its own.
async function serverAnswers() {
  while (!(await fetch("/healthz", { cache: "no-store" }).catch(() => null))) await wait(PAUSES_MS[1]);
}

function reload() {
  const made = Number(sessionStorage.getItem(RELOADS) || 0);
  if (made < PAUSES_MS.length) {
    sessionStorage.setItem(RELOADS, String(made + 1));
    wait(PAUSES_MS[made]).then(serverAnswers).then(() => location.reload());
    return;
  }
  sessionStorage.removeItem(RELOADS);
  const notice = document.createElement("p");
  notice.className = "empty";
  notice.setAttribute("role", "alert");
  notice.textContent = "The dashboard could not be loaded. Check that the server runs (bin/orchestrator status), then reload this page.";
  document.getElementById("app").replaceChildren(notice);
}

// For the script and the stylesheet: an error event of an element does not bubble, so the listener uses the capture phase.
addEventListener("error", (event) => event.target.matches?.(FILES) && reload(), true);
