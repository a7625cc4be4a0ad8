// The dashboard's entry: the login, and the page for the address.
//
// How a page is written. A page is a component in pages/, listed in PAGES with its path; it is
// fetched when it is first opened. It gets the parameters of its path, and returns
// the content of the frame: <main id="main"> with an <h1>.
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
//   - CSS classes are in styles/. Computed sizes are attributes of SVG, or style={{}}.
import { connection } from "./core/connection.js";
import { html, render, useEffect, useErrorBoundary, useState } from "./core/html.js";
import { begin as beginKeys } from "./core/keys.js";
import { begin as beginRouter, pattern, place } from "./core/router.js";
import { begin as beginSession, session } from "./core/session.js";
import { useStore } from "./core/store.js";
import { Loading } from "./parts/empty.js";
import { Frame } from "./parts/frame.js";
import { Login } from "./pages/login.js";
import { Jobs } from "./pages/jobs.js";

const PAGES = [
  ["/", () => Jobs],
  ["/login", () => Jobs],
  ["/jobs", () => Jobs],
  ["/new", () => import("./pages/new.js")],
  ["/costs", () => import("./pages/costs.js")],
  ["/agents", () => import("./pages/agents.js")],
  ["/jobs/:job", () => import("./pages/job.js")],
  ["/jobs/:job/:view", () => import("./pages/job.js")],
  ["/jobs/:job/w/:worker", () => import("./pages/worker.js")],
  ["/jobs/:job/t/:task", () => import("./pages/task.js")],
].map(([path, load]) => ({ match: pattern(path), load }));

function found(path) {
  for (const { match, load } of PAGES) {
    const given = match(path);
    if (given) return { given, load };
  }
  return { given: {}, load: () => import("./pages/notfound.js") };
}

function Page() {
  const { path } = useStore(place);
  const { given, load } = found(path);
  const [pages] = useState(() => new Map());
  const [, again] = useState(0);
  const known = pages.get(String(load));
  useEffect(() => {
    if (known) return;
    Promise.resolve(load()).then((made) => {
      pages.set(String(load), made.Page || made);
      again((n) => n + 1);
      sessionStorage.removeItem("reloads");
    }, () => dispatchEvent(new Event("missing-file")));
  }, [String(load)]);
  if (!known) return html`<main id="main"><${Loading} what="the files of this page" /></main>`;
  return html`<${known} ...${given} />`;
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
