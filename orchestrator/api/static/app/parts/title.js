// The name of the page, for tabs and for history.
import { useEffect } from "../core/html.js";

export function Title({ text }) {
  useEffect(() => {
    document.title = `${text} · orchestrator`;
  }, [text]);
  return null;
}
