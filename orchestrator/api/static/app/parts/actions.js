// Actions: each calls the server, and shows the outcome or the error.
import { ask } from "./dialogs.js";
import { get, path, post } from "../core/api.js";
import { connection } from "../core/connection.js";
import { duration, many, number, placed } from "../text/format.js";
import { say } from "./toast.js";

// Time without an answer after which a line says that the server has not answered.
const SLOW_MS = 3000;

export async function act(change, done) {
  if (connection.get().state === "lost") say("The server does not answer. The action runs when the server is back.");
  const slow = setTimeout(() => say("The server has not answered yet. The action runs when the server answers."), SLOW_MS);
  try {
    const answer = await change();
    if (done) say(typeof done === "function" ? done(answer) : done);
    return answer;
  } catch (error) {
    say(error.message.replace(/^\/\S+(?=: )/, placed));
    return null;
  } finally {
    clearTimeout(slow);
  }
}

const jobCall = (job, name, body) => post(path("jobs", job, name), body);

// `workers`: the number of workers that have not ended, if it is known.
export async function cancelJob(job, workers) {
  const text = `${workers ? `Cancel ${many(workers, "worker")}?` : "Cancel this job?"} Changes of its workers stay on their branches.`;
  if (!(await ask({ title: "Cancel the job", text, yes: "Cancel the job", danger: true }))) return null;
  return act(() => jobCall(job, "cancel"), "Cancelled");
}

export const pauseJob = (job) => act(() => jobCall(job, "pause"), "Paused: nothing new starts");
export const resumeJob = (job) => act(() => jobCall(job, "resume"), "Resumed");
export const retryJob = (job) => act(() => jobCall(job, "retry"), "The unsuccessful tasks run again");

// `lacking`: why the result is incomplete; empty for a completed job.
export async function landJob(job, lacking = "") {
  const text = `${lacking && `The result is incomplete: ${lacking}. `}The job's result is merged into the project's current branch.`;
  if (!(await ask({ title: lacking ? "Land the incomplete result" : "Land the result", text, yes: "Land", no: "Not yet" }))) return null;
  return act(() => jobCall(job, "land", lacking ? { partial: true } : undefined), (answer) => `Landed on ${answer.branch || "the checked-out branch"}`);
}

export async function undoJob(job) {
  const text = "The branch is reset to its commit before the landing.";
  if (!(await ask({ title: "Undo the landing", text, yes: "Undo", danger: true }))) return null;
  return act(() => jobCall(job, "undo"), "The landing is undone");
}

export async function rejectPlan(job) {
  const text = "The plan is rejected and the job ends; nothing has run.";
  if (!(await ask({ title: "Reject the plan", text, yes: "Reject", danger: true }))) return null;
  return act(() => jobCall(job, "reject"), "Rejected");
}

const LIMITS = {
  max_cost_usd: ["Cost, in dollars", number], max_tokens: ["Tokens", number], max_steps: ["Steps", number], max_wall_seconds: ["Time, such as 90 min or 2 h", duration],
};

// Asks for larger limits; the limit that was reached comes first. The form shows the server's errors.
export async function raiseLimits(job) {
  const { config, paused } = await get(path("jobs", job), { page_size: 1 });
  const names = Object.keys(LIMITS).filter((name) => name === paused?.limit || config[name] !== undefined).sort((a, b) => (b === paused?.limit) - (a === paused?.limit));
  const fields = names.map((name) => ({ name, word: LIMITS[name][0], value: name === "max_wall_seconds" ? `${config[name]} s` : String(config[name]) }));
  const text = `${paused?.by ? `Reached: ${paused.by}. ` : ""}The job continues with these limits. Earlier usage still counts.`;
  const send = (typed) => {
    const changed = fields.filter(({ name, value }) => typed[name].trim() !== value);
    if (!changed.length) throw new Error("Write a larger value.");
    return jobCall(job, "budget", Object.fromEntries(changed.map(({ name, word }) => [name, LIMITS[name][1](typed[name], word.split(",")[0])])));
  };
  const done = await ask({ title: "Raise the limits", text, fields, send, yes: "Raise and continue", no: "Not yet" });
  if (done) say("Raised: the job continues");
  return done;
}
