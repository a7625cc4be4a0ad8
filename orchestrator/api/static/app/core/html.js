// Preact and htm, bound together once. Pages import them from here only.
import { h, render, Fragment } from "../../vendor/preact.js";
import htm from "../../vendor/htm.js";

export { render, Fragment };
export {
  useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState,
} from "../../vendor/preact-hooks.js";

// htm must not cache constant nodes, because this Preact does not accept one node twice.
export const html = htm.bind(function make(...given) {
  this[0] = 3;
  return h(...given);
});
