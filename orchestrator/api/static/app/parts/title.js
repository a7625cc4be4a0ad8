// Sets the title of the page, which browser tabs and the history show.
import { useEffect } from "../core/html.js";

export function Title({ text }) {
  useEffect(() => {
    document.title = `${text} · orchestrator`;
  }, [text]);
  return null;
}
