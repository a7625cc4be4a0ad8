// The address of a worker, and its summary in one line.
import { money, seconds } from "../text/format.js";

export const workerPath = (model, i) => `/jobs/${model.job}/w/${model.id[i]}`;

// Facts of a worker, in one line. A box of the graph has no room for the gates.
export const facts = (model, i) => [brief(model, i), model.gateCounts(i) && `gates: ${model.gateCounts(i)}`].filter(Boolean).join(" · ");

export function brief(model, i) {
  const parts = [model.id[i], model.agent(i)];
  if (model.attempt[i] > 1) parts.push(`attempt ${model.attempt[i]}`);
  const took = model.seconds(i);
  if (took !== null) parts.push(seconds(took));
  if (model.cost[i]) parts.push(money(model.cost[i]));
  return parts.filter(Boolean).join(" · ");
}
