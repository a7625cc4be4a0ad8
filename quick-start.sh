#!/usr/bin/env bash
# Runs one request from start to end: installs the folder if necessary, then calls `orchestrator
# run`, or `orchestrator demo`.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: ./quick-start.sh "request" [options]
       ./quick-start.sh --demo

Runs the request with live progress, and prints the paths of the result. Installs the folder at
the first run. Uses the running server; otherwise starts a server, and stops it at the end.

  --demo           run a demo with scripted agents in a separate repository
  --plan FILE      read the tasks from a YAML file; - for standard input
  --plan-only      show the plan, and run no task
  --agent NAME     agent of tasks that name no agent
  --keep-server    do not stop the server that this command started
  --json           print the result as JSON
  -h, --help       show this text

Further options: bin/orchestrator run --help
Exit code: 0 if the job is completed, 1 if it failed, 6 if it is partial.
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

# Follow symbolic links, because a directory on the PATH may have a link to this script. An old macOS has
# no readlink -f.
script=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || script=${BASH_SOURCE[0]}
folder=$(CDPATH='' cd -P -- "$(dirname -- "$script")" && pwd)
# install.sh must not read standard input, because the request may be there.
bash "$folder/install.sh" --quiet </dev/null >&2
if [ "$1" = --demo ]; then
  shift
  exec bash "$folder/bin/orchestrator" demo "$@"
fi
exec bash "$folder/bin/orchestrator" run "$@"
