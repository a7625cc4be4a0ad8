// Formats numbers, times, and words.
const whole = new Intl.NumberFormat("en-US");
export const count = (value) => whole.format(value);
export const many = (value, one, more = `${one}s`) => `${count(value)} ${value === 1 ? one : more}`;

export function seconds(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  if (value < 1) return `${Math.max(0, value).toFixed(2)} s`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Number((value / 3600).toFixed(1))} h`;
  return `${Math.round(value / 86400)} days`;
}

// An unknown cost is "–", not zero.
export function money(value, unknown = "–") {
  if (value === undefined || value === null) return unknown;
  if (value > 0 && value < 0.01) return "< $0.01";
  return `$${value.toFixed(2)}`;
}

export function tokens(value) {
  if (!value) return "–";
  if (value < 1000) return String(value);
  if (value < 999500) return `${Math.round(value / 1000)}k`;
  return `${(value / 1e6).toFixed(1)}M`;
}

export function bytes(value) {
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${Math.round(value / 1024)} KB`;
  return `${(value / 1024 ** 2).toFixed(1)} MB`;
}

const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

// The time of day; with the date if it is not today.
export function time(iso, now = new Date()) {
  if (!iso) return "–";
  const given = new Date(iso);
  const isToday = midnight(given) === midnight(now);
  return isToday ? clock.format(given) : `${date.format(given)}, ${clock.format(given)}`;
}

export function dayOf(iso, now = new Date()) {
  const given = new Date(iso);
  const days = Math.round((midnight(now) - midnight(given)) / 86400000);
  if (days <= 0) return "Earlier today";
  return days === 1 ? "Yesterday" : day.format(given);
}

const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

export const ago = (iso, now = Date.now()) => `${seconds(Math.max(0, (now - Date.parse(iso)) / 1000))}`;

// The width of a text in columns: a character of East Asia and a picture are as wide as two letters.
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]|\p{Extended_Pictographic}/u;
export const columns = (text) => [...text].reduce((sum, each) => sum + (WIDE.test(each) ? 2 : 1), 0);

export function cut(text, most) {
  if (columns(text) <= most) return text;
  let kept = "";
  for (const each of text) {
    if (columns(kept + each) >= most) break;
    kept += each;
  }
  return `${kept}…`;
}

// Replaces control and direction characters by visible ones. Joiners within pictures, and within scripts
// whose letters join, are part of the text.
const JOINED = "[\\p{Extended_Pictographic}\\p{Emoji_Modifier}\\ufe0f\\p{sc=Arabic}\\p{sc=Devanagari}\\p{sc=Bengali}\\p{sc=Tamil}\\p{sc=Telugu}\\p{sc=Kannada}\\p{sc=Malayalam}\\p{sc=Sinhala}]";
const CONTROLS = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202f\\u2060-\\u206f\\ufeff";
const HIDDEN = new RegExp(`[${CONTROLS}]|(?<!${JOINED})[\\u200c\\u200d]|[\\u200c\\u200d](?!${JOINED})`, "gu");
export const plain = (given) =>
  String(given ?? "").replace(HIDDEN, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);

// Parses a number that a person typed. Throws an Error with the field's name for other text.
export function number(text, name) {
  const value = Number(String(text).replace(/[$\s]/g, ""));
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name}: a number is needed, not “${text}”`);
  return value;
}

// Parses "90 s", "30 min", "2 h", or "1 d" to seconds; a number without a unit means minutes.
export function duration(text) {
  const found = /^(\d+(?:\.\d+)?|\.\d+)\s*(s|min|m|h|d)?$/.exec(text.trim());
  if (!found) throw new Error(`Time: write 90 s, 30 min, 2 h or 1 d, not “${text}”`);
  return Number(found[1]) * { s: 1, m: 60, min: 60, h: 3600, d: 86400 }[found[2] || "min"];
}

// Converts the server's pointer /tasks/0/promt to "task 1 promt".
export const placed = (pointer) => pointer.slice(1).replace(/^tasks\/(\d+)/, (_, at) => `task ${Number(at) + 1}`).replaceAll("/", " ");
