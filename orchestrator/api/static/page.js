"use strict";
// The page that lists jobs. Everything that comes from the server is shown as plain text.

const PAGE_SIZE = 50;
const KEY = "orchestrator-key";
const byId = (id) => document.getElementById(id);
let page = 1;

function say(text) {
  byId("message").textContent = text;
}

async function call(path) {
  const headers = { "X-API-Key": sessionStorage.getItem(KEY) || "" };
  const response = await fetch(path, { headers });
  if (response.ok) {
    return response;
  }
  if (response.status === 401) {
    forget();
    throw new Error("This key opens nothing.");
  }
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.detail || "The server answered " + response.status + ".");
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    say(error.message);
  }
}

async function showJobs() {
  const query = new URLSearchParams({ depth: 0, page, page_size: PAGE_SIZE });
  const answer = await (await call("/api/v1/jobs?" + query)).json();
  byId("jobs").replaceChildren(...answer.jobs.map(row));
  byId("key-form").hidden = true;
  byId("list").hidden = false;
  byId("newer").disabled = page === 1;
  byId("older").disabled = page * PAGE_SIZE >= answer.total;
  byId("place").textContent = "page " + page;
  say(answer.total === 1 ? "1 job" : answer.total + " jobs");
}

function row(job) {
  const line = document.createElement("tr");
  const texts = [
    job.job_id,
    job.reason ? job.status + ": " + job.reason : job.status,
    job.request,
    job.started_at ? new Date(job.started_at).toLocaleString() : "",
    job.seconds === undefined ? "" : job.seconds.toFixed(1),
  ];
  for (const text of texts) {
    line.append(cell(text));
  }
  const reports = cell("");
  const own = job.depth === 0 ? "FINAL_RESULT.md" : "job_" + job.job_id + ".md";
  for (const name of [own, "LEVEL_" + job.depth + "_REPORT.md"]) {
    reports.append(reportLink(job, name), " ");
  }
  line.append(reports);
  return line;
}

function cell(text) {
  const made = document.createElement("td");
  made.textContent = text;
  return made;
}

function reportLink(job, name) {
  // A link cannot send the key: the report is fetched and shown here.
  const link = document.createElement("button");
  link.type = "button";
  link.className = "link";
  link.textContent = name;
  link.addEventListener("click", () => attempt(() => showReport(job, name)));
  return link;
}

async function showReport(job, name) {
  const path = "/api/v1/jobs/" + encodeURIComponent(job.job_id) + "/reports/";
  const response = await call(path + encodeURIComponent(name));
  byId("report-name").textContent = "Job " + job.job_id + ": " + name;
  byId("report-text").textContent = await response.text();
  byId("report").hidden = false;
  byId("report").scrollIntoView();
}

function forget() {
  sessionStorage.removeItem(KEY);
  byId("jobs").replaceChildren();
  byId("list").hidden = true;
  byId("report").hidden = true;
  byId("key-form").hidden = false;
}

function turn(by) {
  page = Math.max(1, page + by);
  attempt(showJobs);
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  byId("key").value = "";
  attempt(showJobs);
});
byId("refresh").addEventListener("click", () => attempt(showJobs));
byId("forget").addEventListener("click", () => { forget(); say("The key is forgotten."); });
byId("newer").addEventListener("click", () => turn(-1));
byId("older").addEventListener("click", () => turn(1));
byId("close-report").addEventListener("click", () => { byId("report").hidden = true; });

if (sessionStorage.getItem(KEY)) {
  attempt(showJobs);
}
