// One change: what it did is said, and what went wrong, too.
import { ask } from "./ask.js";
import { post, send, path } from "../core/api.js";
import { say } from "./toast.js";

export async function act(change, done) {
  try {
    const answer = await change();
    if (done) say(typeof done === "function" ? done(answer) : done);
    return answer;
  } catch (error) {
    say(error.message);
    return null;
  }
}

export const jobCall = (job, name, body) => post(path("jobs", job, name), body);

export async function cancelJob(job, workers) {
  const text = `${workers ? `Cancel ${workers}?` : "Cancel this job?"} What they did stays on their branches.`;
  if (!(await ask({ title: "Cancel the job", text, yes: "Cancel the job", danger: true }))) return null;
  return act(() => jobCall(job, "cancel"), "Cancelled");
}

export const pauseJob = (job) => act(() => jobCall(job, "pause"), "Paused: nothing new starts");
export const resumeJob = (job) => act(() => jobCall(job, "resume"), "Resumed");
export const retryJob = (job) => act(() => jobCall(job, "retry"), "What did not succeed runs again");

export async function landJob(job) {
  const text = "Its result is merged into the branch that is checked out in the project.";
  if (!(await ask({ title: "Land the result", text, yes: "Land" , no: "Not yet" }))) return null;
  return act(() => jobCall(job, "land"), (answer) => `Landed on ${answer.branch || "the checked-out branch"}`);
}

export async function undoJob(job) {
  const text = "The landing is taken back from the branch.";
  if (!(await ask({ title: "Undo the landing", text, yes: "Undo", danger: true }))) return null;
  return act(() => jobCall(job, "undo"), "The landing is undone");
}

export async function rejectPlan(job) {
  const text = "The plan is rejected and the job ends; nothing has run.";
  if (!(await ask({ title: "Reject the plan", text, yes: "Reject", danger: true }))) return null;
  return act(() => jobCall(job, "reject"), "Rejected");
}

export { send };
