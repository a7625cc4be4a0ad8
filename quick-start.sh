#!/usr/bin/env bash
# Runs one request from start to end: installs if need be, then `orchestrator run`, or `orchestrator demo`.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: ./quick-start.sh "request" [options]
       ./quick-start.sh --demo

Runs the request with live progress and prints where the result is. Installs what is missing
first, uses the server that runs for this folder, else starts one and stops it at the end.

  --demo           run a demo with scripted agents in a throw-away repository
  --plan FILE      take the tasks from a YAML file; - for standard input
  --plan-only      show the plan and stop
  --agent NAME     the agent for tasks that name none
  --keep-server    leave the server running
  --json           print the result as JSON
  -h, --help       show this text

Further options: bin/orchestrator run --help
Ends with 0 if the job completed, 1 if it failed, 6 if some of its tasks failed.
Example: ./quick-start.sh "Survey this repository"
USAGE
}

if [ $# -eq 0 ]; then
  usage >&2
  exit 2
fi
for argument in "$@"; do
  case $argument in
    -h | --help) usage && exit 0 ;;
    --) break ;;
  esac
done

# Links are followed, as from a directory on PATH; an old macOS has no readlink -f.
script=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || script=${BASH_SOURCE[0]}
folder=$(CDPATH='' cd -P -- "$(dirname -- "$script")" && pwd)
# What it is asked for may come on standard input.
bash "$folder/install.sh" --quiet </dev/null >&2
if [ "$1" = --demo ]; then
  shift
  exec bash "$folder/bin/orchestrator" demo "$@"
fi
exec bash "$folder/bin/orchestrator" run "$@"
