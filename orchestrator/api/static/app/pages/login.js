// The login: a key starts a session. The address stays, so that the requested page follows the login.
import { html, useState } from "../core/html.js";
import { go, place } from "../core/router.js";
import { logIn } from "../core/session.js";
import { Icon } from "../parts/icon.js";

export function Login() {
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const field = event.target.elements.key;
    const key = field.value.trim();
    field.value = "";
    setBusy(true);
    setWrong(await logIn(key).catch(() => "The server does not answer."));
    setBusy(false);
    field.focus();
    if (place.get().path === "/login") go("/", { replace: true });
  };
  return html`<main id="main"><div class="login"><section>
    <div class="brand"><${Icon} name="i-mark" />orchestrator</div>
    <form class="card" onSubmit=${submit}><h1>Log in</h1>
      ${wrong && html`<div class="note bad" role="alert"><${Icon} name="s-failed" /><p class="grow">${wrong}</p></div>`}
      <div class="field"><label for="key">Key</label><input class=${`in mono ${wrong ? "bad" : ""}`} id="key" name="key" type="password"
        autocomplete="off" required aria-invalid=${wrong ? "true" : undefined} /></div>
      <button class="btn primary" disabled=${busy}>Log in</button>
      <p class="hint">The key is api.api_key of config.yaml. The browser gets a session, and does not store the key.</p></form>
    <div class="stack small soft"><p>On this machine, this command opens the page and logs in:</p><code class="cmd">bin/orchestrator open</code></div>
  </section></div></main>`;
}
