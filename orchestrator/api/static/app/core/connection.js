// The state of the connection. While the server does not answer, one probe polls it; other calls wait.
import { store } from "./store.js";

const PROBE_MS = 700;
// Time without an answer after which the server counts as lost, as when its machine is suspended.
export const PATIENCE_MS = 15000;
const GREETING_MS = 3000;

// state: ok, lost, or back (for three seconds after the server answers again)
export const connection = store({ state: "ok", since: 0 });
let waiting = [];

export function lost() {
  if (connection.get().state === "lost") return;
  connection.set({ state: "lost", since: Date.now() });
  setTimeout(probe, PROBE_MS);
}

export async function probe() {
  if (connection.get().state !== "lost") return;
  try {
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.ok) return restored();
  } catch {
    // The server still does not answer.
  }
  setTimeout(probe, PROBE_MS);
}

function restored() {
  connection.set({ state: "back", since: Date.now() });
  setTimeout(() => {
    if (connection.get().state === "back") connection.set({ state: "ok", since: 0 });
  }, GREETING_MS);
  const all = waiting;
  waiting = [];
  for (const each of all) each();
}

// Resolves at once if the connection is ok, otherwise when the server answers again.
export function answering() {
  if (connection.get().state !== "lost") return Promise.resolve();
  return new Promise((resolve) => waiting.push(resolve));
}
