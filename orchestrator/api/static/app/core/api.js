// Calls of the API. The session is a cookie that no script can read.
import { answering, lost } from "./connection.js";
import { session, token } from "./session.js";

export const API = "/api/v1";

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `The server answered ${status}.`);
    this.status = status;
    this.type = String(body.type || "").split("/").pop();
    this.body = body;
  }
}

export class Away extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

export const path = (...parts) => [API, ...parts.map(encodeURIComponent)].join("/");

export function address(given, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") search.append(name, each);
    }
  }
  return search.size ? `${given}?${search}` : given;
}

// Returns the response. Throws Problem for an error answer, and Away if there is no answer.
export async function request(given, { method = "GET", body, headers, signal } = {}) {
  const sent = { ...(method === "GET" ? {} : token()), ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(given, { method, headers: sent, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Away();
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) session.set(null);
  throw new Problem(response.status, problem);
}

export const get = async (given, query, options) =>
  (await request(address(given, query), options)).json();
export const text = async (given, query, options) =>
  (await request(address(given, query), options)).text();
export const send = async (method, given, body = {}) => {
  await answering();
  const response = await request(given, { method, body });
  return response.status === 204 ? {} : response.json();
};
export const post = (given, body) => send("POST", given, body);
