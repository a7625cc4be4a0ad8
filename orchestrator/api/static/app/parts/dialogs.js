// Confirmations of actions that cannot be undone, and sheets; both are the browser's own dialog.
import { html, useEffect, useRef, useState } from "../core/html.js";
import { store, useStore } from "../core/store.js";
import { plain } from "../text/format.js";
import { Icon } from "./icon.js";

const asked = store(null);

// Resolves with the typed text (or true), or with null. With `fields` and `send`: calls
// send({name: text}), shows an error next to the fields, and resolves with the answer.
export function ask(question) {
  return new Promise((resolve) => asked.set({ ...question, resolve }));
}

export function Dialog({ label, onClose, children }) {
  const element = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current.showModal();
    element.current.querySelector("textarea, input")?.focus();
    // The browser does not do this for a dialog that is removed while it is open.
    return () => { element.current?.close(); if (before?.isConnected) before.focus(); };
  }, []);
  const outside = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class="sheet dialog" aria-label=${label} onCancel=${onClose} onClick=${outside}>
    <header class="logbar"><h2 class="grow">${label}</h2><button type="button" class="btn ghost icon sm"
      aria-label="Close" onClick=${onClose}><${Icon} name="i-x" /></button></header>${children}</dialog>`;
}

export function Asked() {
  const given = useStore(asked);
  const field = useRef(null);
  const [wrong, setWrong] = useState("");
  useEffect(() => setWrong(""), [given]);
  if (!given) return null;
  const answer = (value) => {
    asked.set(null);
    given.resolve(value);
  };
  const agree = async (event) => {
    event.preventDefault();
    if (!given.send) return answer(given.field ? field.current.value : true);
    try {
      answer(await given.send(Object.fromEntries(new FormData(event.target))));
    } catch (error) {
      setWrong(error.message);
    }
  };
  const keys = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.currentTarget.requestSubmit();
  return html`<${Dialog} label=${given.title} onClose=${() => answer(null)}><form class="pad stack" onSubmit=${agree} onKeyDown=${keys}>
    <p>${given.text}</p>
    ${given.field && html`<label class="field"><span class="lab">${given.field}</span><textarea class="in" ref=${field} rows="3"
      required=${given.required}></textarea></label>`}
    ${given.fields?.map(({ name, word, value }) => html`<label class="field" key=${name}><span class="lab">${word}</span><input class="in num" name=${name} defaultValue=${value} required /></label>`)}
    ${wrong && html`<div class="note bad" role="alert"><${Icon} name="s-failed" /><p class="grow">${plain(wrong)}</p></div>`}
    <div class="acts end"><button type="button" class="btn" onClick=${() => answer(null)}>${given.no || "Keep it"}</button>
      <button class=${`btn ${given.danger ? "danger" : "primary"}`}>${given.yes}</button></div>
  </form><//>`;
}
