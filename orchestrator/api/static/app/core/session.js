// The session: undefined until it is known, null if the browser is not logged in.
//
// The session is a cookie that no script can read. Browsers send it to every port of this host.
// Therefore a change also needs a token, which stays with this port.
import { answering, lost } from "./connection.js";
import { store } from "./store.js";

export const session = store(undefined);
const ADDRESS = "/api/v1/session";
const TOKEN = "session-token";
const PATIENCE_MS = 10000;

export const mayChange = () => Boolean(session.get()?.scopes.some((scope) => scope !== "read"));
export const isAdmin = () => Boolean(session.get()?.scopes.includes("admin"));
export const token = () => ({ "X-Session-Token": localStorage.getItem(TOKEN) || "" });

// Finds the session, from a ticket in the address or from the cookie. Waits while the server does not answer.
export async function begin() {
  const ticket = takeTicket();
  // Another tab has logged in or out.
  addEventListener("storage", (event) => event.key === TOKEN && find().catch(() => {}));
  for (;;) {
    try {
      return await find(ticket);
    } catch {
      lost();
      await answering();
    }
  }
}

async function find(ticket) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  if (ticket) {
    await open({ body: JSON.stringify({ ticket }), headers: { "Content-Type": "application/json" }, signal });
  } else if (!localStorage.getItem(TOKEN)) session.set(null);
  else {
    const answer = await fetch(ADDRESS, { signal });
    session.set(answer.ok ? await answer.json() : null);
  }
}

// Requests do not contain the fragment of the address. The ticket is removed from the history at once.
function takeTicket() {
  const given = new URLSearchParams(location.hash.slice(1)).get("ticket");
  if (given) history.replaceState(null, "", location.pathname + location.search);
  return given;
}

export async function logIn(key) {
  if (!key) return "Type the key.";
  // A key has only ASCII characters, because it is sent in a header.
  if (!/^[\x21-\x7e]+$/.test(key)) return "invalid API key; use api.api_key from config.yaml";
  return open({ headers: { "X-API-Key": key } });
}

// Returns "" if the key or the ticket is valid, otherwise the error.
async function open(given) {
  const answer = await fetch(ADDRESS, { method: "POST", ...given });
  const { token: made, ...body } = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    session.set(null);
    return body.detail || `The server answered ${answer.status}.`;
  }
  localStorage.setItem(TOKEN, made);
  session.set(body);
  return "";
}

// Waits while the server does not answer, because only the server can end a session.
export async function logOut() {
  await answering();
  try {
    await fetch(ADDRESS, { method: "DELETE", headers: token() });
  } catch {
    lost();
    return;
  }
  localStorage.removeItem(TOKEN);
  session.set(null);
}
