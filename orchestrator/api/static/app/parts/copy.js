// Copies a text. Browsers allow this only over HTTPS and on this machine.
import { say } from "./toast.js";

export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say(`The browser does not allow copying: ${text}`);
  }
}
