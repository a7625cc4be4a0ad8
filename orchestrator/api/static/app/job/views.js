// The views of a job: one line each. `key` opens it, `icon` gives it a tab.
export const VIEWS = [
  { name: "graph", word: "Graph", icon: "i-graph", key: "1", load: () => import("./graph.js") },
  { name: "table", word: "Table", icon: "i-table", key: "2", load: () => import("./table.js") },
  { name: "timeline", word: "Timeline", icon: "i-gantt", key: "3", load: () => import("./timeline.js") },
  { name: "changes", word: "Changes", icon: "i-diff", key: "4", load: () => import("../changes/changes.js") },
  { name: "report", word: "Report", icon: "i-report", key: "5", load: () => import("./report.js") },
  { name: "plan", word: "Plan", load: () => import("./plan.js") },
  { name: "events", word: "Events", icon: "i-pulse", load: () => import("./events.js") },
];
