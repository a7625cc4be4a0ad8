CREATE TABLE jobs (
  id TEXT NOT NULL,
  root_id TEXT NOT NULL,
  depth INTEGER NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  parent_worker_id TEXT,
  parent_job_id TEXT,
  digest TEXT NOT NULL,
  submitted_by TEXT NOT NULL,
  idempotency_key TEXT,
  plan_source TEXT NOT NULL,
  created_at DOUBLE NOT NULL,
  started_at DOUBLE,
  ended_at DOUBLE,
  cancelled_by TEXT,
  stop_cause TEXT,
  merge_state TEXT DEFAULT 'none' NOT NULL,
  awaits_approval BOOLEAN DEFAULT 0 NOT NULL,
  run INTEGER DEFAULT '1' NOT NULL,
  plan_version INTEGER DEFAULT '1' NOT NULL,
  pause TEXT,
  paused_seconds DOUBLE DEFAULT '0' NOT NULL,
  facts TEXT DEFAULT '{}' NOT NULL,
  config TEXT NOT NULL,
  needs TEXT DEFAULT '' NOT NULL,
  labels TEXT DEFAULT '' NOT NULL,
  request TEXT NOT NULL,
  callback TEXT,
  CONSTRAINT pk_jobs PRIMARY KEY (id),
  CONSTRAINT fk_jobs_root_id_jobs FOREIGN KEY(root_id) REFERENCES jobs (id),
  CONSTRAINT fk_jobs_parent_job_id_jobs FOREIGN KEY(parent_job_id) REFERENCES jobs (id)
);

CREATE INDEX ix_jobs_created_at_id ON jobs (created_at, id);

CREATE INDEX ix_jobs_needs ON jobs (root_id) WHERE needs != '';

CREATE INDEX ix_jobs_parent_job_id_created_at ON jobs (parent_job_id, created_at);

CREATE INDEX ix_jobs_root_id_created_at ON jobs (root_id, created_at);

CREATE INDEX ix_jobs_status_created_at ON jobs (status, created_at);

CREATE INDEX ix_jobs_submitted_by_idempotency_key ON jobs (submitted_by, idempotency_key);

CREATE TABLE lease_numbers (
  id INTEGER NOT NULL,
  last BIGINT NOT NULL,
  CONSTRAINT pk_lease_numbers PRIMARY KEY (id)
);

CREATE TABLE server_lease (
  id INTEGER NOT NULL,
  epoch BIGINT NOT NULL,
  machine TEXT NOT NULL,
  holder TEXT NOT NULL,
  seconds DOUBLE NOT NULL,
  renewals BIGINT NOT NULL,
  recovers INTEGER NOT NULL,
  CONSTRAINT pk_server_lease PRIMARY KEY (id)
);

CREATE TABLE server_pause (
  id INTEGER NOT NULL,
  pause TEXT,
  CONSTRAINT pk_server_pause PRIMARY KEY (id)
);

CREATE TABLE spent_days (
  day INTEGER NOT NULL,
  key_name TEXT NOT NULL,
  cost_usd DOUBLE NOT NULL,
  CONSTRAINT pk_spent_days PRIMARY KEY (day, key_name)
);

CREATE TABLE deliveries (
  root_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  endpoint TEXT NOT NULL,
  id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  created_at DOUBLE NOT NULL,
  due_at DOUBLE NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  last_status INTEGER,
  last_error TEXT NOT NULL,
  answer TEXT NOT NULL,
  done_at DOUBLE,
  CONSTRAINT pk_deliveries PRIMARY KEY (root_id, seq, endpoint),
  CONSTRAINT fk_deliveries_root_id_jobs FOREIGN KEY(root_id) REFERENCES jobs (id)
)
 WITHOUT ROWID;

CREATE INDEX ix_deliveries_due ON deliveries (due_at) WHERE state = 'pending';

CREATE TABLE events (
  root_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  job_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  at DOUBLE NOT NULL,
  worker_id TEXT,
  data TEXT NOT NULL,
  CONSTRAINT pk_events PRIMARY KEY (root_id, seq),
  CONSTRAINT fk_events_root_id_jobs FOREIGN KEY(root_id) REFERENCES jobs (id)
);

CREATE TABLE leases (
  name TEXT NOT NULL,
  root_id TEXT NOT NULL,
  worker_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  job_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  taken_at DOUBLE NOT NULL,
  passed_on INTEGER NOT NULL,
  CONSTRAINT pk_leases PRIMARY KEY (name, root_id, worker_id),
  CONSTRAINT fk_leases_root_id_jobs FOREIGN KEY(root_id) REFERENCES jobs (id)
);

CREATE TABLE tasks (
  job_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  id TEXT DEFAULT '' NOT NULL,
  title TEXT DEFAULT '' NOT NULL,
  model TEXT,
  role TEXT,
  depends_on TEXT DEFAULT '[]' NOT NULL,
  task TEXT NOT NULL,
  CONSTRAINT pk_tasks PRIMARY KEY (job_id, position),
  CONSTRAINT fk_tasks_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);

CREATE INDEX ix_tasks_labels ON tasks (job_id, id, title);

CREATE TABLE workers (
  root_id TEXT NOT NULL,
  id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  task_id TEXT NOT NULL,
  "index" INTEGER NOT NULL,
  kind TEXT DEFAULT 'task' NOT NULL,
  depth INTEGER NOT NULL,
  agent TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  waiting_for TEXT,
  attempt INTEGER NOT NULL,
  budget_from INTEGER NOT NULL,
  failure TEXT NOT NULL,
  not_before DOUBLE NOT NULL,
  cancelled_by TEXT,
  child_job_ids TEXT NOT NULL,
  child_workers INTEGER NOT NULL,
  started_at DOUBLE,
  ended_at DOUBLE,
  cost_usd DOUBLE,
  cost_marks INTEGER DEFAULT '0' NOT NULL,
  steps INTEGER,
  input_tokens BIGINT,
  output_tokens BIGINT,
  cache_read_tokens BIGINT,
  cache_write_tokens BIGINT,
  gates_passed INTEGER DEFAULT '0' NOT NULL,
  gates_failed INTEGER DEFAULT '0' NOT NULL,
  gates_not_run INTEGER DEFAULT '0' NOT NULL,
  files INTEGER DEFAULT '0' NOT NULL,
  chosen BOOLEAN,
  need TEXT,
  model TEXT,
  result TEXT,
  question TEXT,
  CONSTRAINT pk_workers PRIMARY KEY (root_id, id),
  CONSTRAINT fk_workers_root_id_jobs FOREIGN KEY(root_id) REFERENCES jobs (id),
  CONSTRAINT fk_workers_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);

CREATE INDEX ix_workers_ended ON workers (agent, ended_at, status, kind) WHERE ended_at IS NOT NULL;

CREATE INDEX ix_workers_job_id_index ON workers (job_id, "index");

CREATE INDEX ix_workers_need ON workers (job_id, need) WHERE need IS NOT NULL;

CREATE INDEX ix_workers_summary ON workers (status, cost_marks, kind, cost_usd);

CREATE INDEX ix_workers_time ON workers (coalesce(ended_at, started_at));

CREATE TABLE attempts (
  root_id TEXT NOT NULL,
  worker_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  job_id TEXT NOT NULL,
  started_at DOUBLE NOT NULL,
  token_hash TEXT NOT NULL,
  record_hash TEXT DEFAULT '' NOT NULL,
  ended_at DOUBLE,
  exit TEXT,
  reason TEXT NOT NULL,
  session TEXT,
  node TEXT DEFAULT '' NOT NULL,
  CONSTRAINT pk_attempts PRIMARY KEY (root_id, worker_id, number),
  CONSTRAINT fk_attempts_root_id_workers FOREIGN KEY(root_id, worker_id) REFERENCES workers (root_id, id),
  CONSTRAINT fk_attempts_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);

CREATE INDEX ix_attempts_token_hash ON attempts (token_hash);
