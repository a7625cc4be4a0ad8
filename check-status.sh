#!/usr/bin/env bash
# Shows the status of one job, or of all jobs. Works with or without a running server.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: ./check-status.sh [job_id] [options]

Show the status of one job, or of all jobs. Works with or without a running server.

  --json           print JSON
  -h, --help       show this text

Further options: bin/orchestrator status --help
USAGE
}

# Follow symbolic links, because a directory on the PATH may have a link to this script. An old macOS has
# no readlink -f.
script=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || script=${BASH_SOURCE[0]}
folder=$(CDPATH='' cd -P -- "$(dirname -- "$script")" && pwd)
users_directory=$(pwd -P)

# Prints the path of a file of this folder, quoted for the shell: absolute, or relative to the user's
# directory, whichever is shorter. The same as path_here in orchestrator/cli/output/command_paths.py.
path_here() {
  local from=${users_directory%/} to=$folder/$1 up='' relative
  while [ "${to#"$from"/}" = "$to" ]; do from=${from%/*} up=../$up; done
  relative=$up${to#"$from"/}
  case $relative in */*) ;; *) relative=./$relative ;; esac
  if [ ${#relative} -gt ${#to} ]; then relative=$to; fi
  case $relative in
    *[!A-Za-z0-9_@%+=:,./-]*) printf "'%s'" "${relative//\'/\'\"\'\"\'}" ;;
    *) printf '%s' "$relative" ;;
  esac
}

if [ "${1-}" = -h ] || [ "${1-}" = --help ]; then
  usage
  exit 0
fi
# An installation that failed leaves a .venv without packages.
if "$folder/.venv/bin/python" -I -c 'import sys; from importlib.util import find_spec as find
sys.exit(not all(map(find, ["click", "pydantic", "sqlalchemy", "yaml"])))' >/dev/null 2>&1; then
  exec bash "$folder/bin/orchestrator" status "$@"
fi

# The product is not installed. Read each job's status.json, which a server replaces atomically.
job='' json=no
for argument in "$@"; do
  case $argument in
    --json) json=yes ;;
    -*) ;;
    *) job=${argument#job_} ;;
  esac
done
shopt -s nullglob
directories=("$folder"/workspace/ "$folder"/workspace/job_*/) hidden=no
if [ -n "$job" ]; then directories=("$folder"/workspace/ "$folder/workspace/job_$job/"); fi
for directory in "${directories[@]}"; do
  if [ -d "$directory" ] && ! { [ -r "$directory" ] && [ -x "$directory" ]; }; then
    printf 'check-status.sh: this user (uid %s) cannot read %s; run the script as the owner of the directory\n' \
      "$(id -u)" "$directory" >&2
    hidden=yes
  fi
done
# Read regular files only. A worker could replace a file by a pipe, which blocks the reader, or by a link.
is_plain() { [ -f "$1" ] && [ ! -L "$1" ]; }
files=()
for file in "$folder"/workspace/job_*/status.json; do
  if is_plain "$file"; then files+=("$file"); else
    printf 'check-status.sh: %s is not a regular file; job skipped\n' "$file" >&2
  fi
done
if [ -n "$job" ]; then
  files=("$folder/workspace/job_$job/status.json")
  if ! is_plain "${files[0]}"; then
    [ "$hidden" = no ] || exit 1
    printf 'check-status.sh: job %s not found in %s; list the jobs: %s\n' "$job" "$folder/workspace" \
      "$(path_here check-status.sh)" >&2
    exit 3
  fi
fi
if [ ${#files[@]} -eq 0 ] && [ "$hidden" = yes ]; then exit 1; fi
if [ "$json" = yes ]; then
  if [ -n "$job" ]; then cat -- "${files[0]}"; else
    separator=''
    printf '{"jobs": ['
    for file in ${files[@]+"${files[@]}"}; do printf '%s' "$separator" && cat -- "$file" && separator=,; done
    printf ']}\n'
  fi
  exit 0
fi
printf 'Not installed (no .venv with packages); status from the files in %s:\n' "$folder/workspace" >&2
if [ ${#files[@]} -eq 0 ]; then
  printf 'No jobs yet. Try: %s "Survey this repository"\n' "$(path_here quick-start.sh)"
elif command -v python3 >/dev/null && python3 -c '' 2>/dev/null; then
  python3 -I - ${job:+--tasks} "${files[@]}" <<'PYTHON'
import json, os, re, stat, sys

def plain(text):
    return re.sub("[\x00-\x1f\x7f-\x9f]", " ", str(text)).encode("ascii", "replace").decode()

def plainly(path, flags):
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("not a regular file")
    return handle

def show(path, with_tasks):
    try:
        with open(path, "rb", opener=plainly) as file:
            job = json.loads(file.read().decode("utf-8"))
        tasks = (job.get("results") or {}).get("tasks") or []
    except (ValueError, OSError, AttributeError) as error:
        print("cannot read %s: %s" % (plain(path), plain(error)))
        return
    ended = ("success", "recursive_success")
    omitted = job.get("workers_omitted") or {}
    done = omitted.get("tasks_succeeded", sum(1 for task in tasks if task.get("status") in ended))
    total = omitted.get("tasks", len(tasks))
    count = "%d of %d task%s succeeded" % (done, total, "" if total == 1 else "s")
    print("%s  %-9s  %s" % (plain(job.get("job_id")), plain(job.get("status")), count))
    for task in tasks if with_tasks else []:
        print("  %-16s %s  %s" % (plain(task.get("worker_id")), plain(task.get("status")), plain(task.get("reason") or "")))
    if with_tasks and omitted:
        print("  ... and %d more workers: %s" % (omitted["count"], plain(omitted.get("file") or omitted["all"])))

with_tasks = sys.argv[1] == "--tasks"
for path in sys.argv[1 + with_tasks:]:
    show(path, with_tasks)
PYTHON
else
  for file in "${files[@]}"; do
    name=${file%/status.json}
    # The first field "status" in the file belongs to the job. The others belong to its workers.
    status=$(awk -F'"' '{ for (i = 1; i < NF; i++) if ($i == "status") { print $(i + 2); exit } }' "$file")
    printf '%s  %s\n' "${name##*/job_}" "${status:-unknown}"
  done
fi
