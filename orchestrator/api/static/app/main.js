// The dashboard's entry: the login, and the page for the address.
//
// How a page is written. A page is a component in pages/, listed in PAGES with its path. It gets the
// parameters of its path, and returns the content of the frame: <main id="main"> with an <h1>.
//   - Reads: useQuery(path("jobs", id), {page: 2}) of core/query.js gives {data, error, loading,
//     refresh}; show <Loading/> and <Failure/> of parts/empty.js. Live: follow() of core/live.js,
//     ended in the cleanup of useEffect; batch its events by throttled().
//   - Changes: post(path(...), body) of core/api.js within act() of parts/actions.js, which shows
//     errors. Actions that cannot be undone ask first (ask() of parts/dialogs.js). A key of scope
//     read sees no buttons: mayChange() of core/session.js.
//   - Text of workers is a child of an element, never markup: no innerHTML, no style="..." (the
//     server's policy forbids both). plain() of text/format.js shows hidden characters.
//   - Keys: useKeys({x: act}) of core/keys.js, and the list in parts/keysheet.js. Rows that j and
//     k select have data-row. A state is shown as icon and word: parts/state.js.
//   - The server sends all modules as one file (assets.py). It knows these statements, each at the start
//     of a line: import {a, b as c} from, import a from, export const, export function, export class.
//   - CSS classes are in styles/. Computed sizes are attributes of SVG, or style={{}}.
import { connection } from "./core/connection.js";
import { html, render, useErrorBoundary } from "./core/html.js";
import { begin as beginKeys } from "./core/keys.js";
import { begin as beginRouter, pattern, place } from "./core/router.js";
import { begin as beginSession, session } from "./core/session.js";
import { useStore } from "./core/store.js";
import { Frame } from "./parts/frame.js";
import { Page as Agents } from "./pages/agents.js";
import { Page as Costs } from "./pages/costs.js";
import { Page as Job } from "./pages/job.js";
import { Jobs } from "./pages/jobs.js";
import { Login } from "./pages/login.js";
import { Page as New } from "./pages/new.js";
import { Page as NotFound } from "./pages/notfound.js";
import { Page as Task } from "./pages/task.js";
import { Page as Worker } from "./pages/worker.js";

const PAGES = [
  ["/", Jobs], ["/login", Jobs], ["/jobs", Jobs], ["/new", New], ["/costs", Costs], ["/agents", Agents],
  ["/jobs/:job", Job], ["/jobs/:job/:view", Job], ["/jobs/:job/w/:worker", Worker], ["/jobs/:job/t/:task", Task],
].map(([path, Shown]) => ({ match: pattern(path), Shown }));

function Page() {
  const { path } = useStore(place);
  for (const { match, Shown } of PAGES) {
    const given = match(path);
    if (given) return html`<${Shown} ...${given} />`;
  }
  return html`<${NotFound} />`;
}

// After an error in one page, the frame and its links to other pages still work.
function Guarded() {
  const { path } = useStore(place);
  return html`<${Boundary} key=${path.split("/").slice(0, 3).join("/")} />`;
}

function Boundary() {
  const [error] = useErrorBoundary((fault) => console.error(fault));
  if (error) {
    return html`<main id="main"><div class="note bad" role="alert"><p class="grow">Error on this page: ${String(error.message)}.
      Reload the page; the API and the commands still work.</p></div></main>`;
  }
  return html`<${Page} />`;
}

// index.html and loading.js show a text until the scripts are there.
function Opening() {
  const { state } = useStore(connection);
  return html`<p class="opening" role="status">${
    state === "lost" ? "The server does not answer. The page opens when the server answers." : "Waiting for the server: your login"}</p>`;
}

function App() {
  const known = useStore(session);
  if (known === undefined) return html`<${Opening} />`;
  if (known === null) return html`<${Login} />`;
  return html`<${Frame}><${Guarded} /><//>`;
}

beginRouter();
beginKeys();
render(html`<${App} />`, document.getElementById("app"));
beginSession();
sessionStorage.removeItem("reloads");
