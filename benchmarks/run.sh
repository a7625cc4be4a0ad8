#!/usr/bin/env bash
# Measures the product against named peers in the same run.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: benchmarks/run.sh [options] [names...]

Prints tables in Markdown and writes benchmarks/results.json, where other benchmarks' results stay.
benchmarks/render.sh then writes docs/performance.md and its pictures. Without names everything runs:
  dispatch latency streams load efficiency workflows memory growth reads outbox restart worktrees git commands starts counts walk launcher nodes store

  --quick          small sizes, to test the benchmarks; the figures mean nothing
  --rounds N       rounds (5, growth 11)
  --output FILE    file for the JSON (default: benchmarks/results.json; quick-results.json with --quick)
  --no-install     omit peers that are not installed
  -h, --help       show this text
USAGE
}

install=yes dispatch=no names=0 arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --no-install) install=no ;;
    -h | --help) usage && exit 0 ;;
    --rounds | --output)
      [ $# -ge 2 ] || { printf 'run.sh: %s needs a value\n' "$1" >&2 && exit 2; }
      # Relative paths are relative to the caller's directory.
      case $1,$2 in
        --rounds,* | --output,/*) arguments+=("$1" "$2") ;;
        *) arguments+=("$1" "$PWD/$2") ;;
      esac
      shift
      ;;
    -*) arguments+=("$1") ;;
    *)
      names=$((names + 1))
      if [ "$1" = dispatch ]; then dispatch=yes; fi
      arguments+=("$1")
      ;;
  esac
  shift
done

CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
[ -x .venv/bin/python ] || bash ./install.sh --quiet
python=$PWD/.venv/bin/python
peers=$PWD/benchmarks/.venv

say() { printf '%s\n' "$*" >&2; }

have_systems() { "$peers/bin/python" -c 'import celery, distributed, doit, huey, redis, rq' >/dev/null 2>&1; }

install_systems() {
  local pins
  mapfile -t pins < <("$python" -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["dependency-groups"]["bench"], sep="\n")')
  if command -v uv >/dev/null; then
    uv venv --quiet --no-project --clear --python "$python" "$peers" &&
      uv pip install --quiet --python "$peers/bin/python" "${pins[@]}"
  else
    "$python" -m venv --clear "$peers" && "$peers/bin/python" -m pip install --quiet "${pins[@]}"
  fi
}

# moreutils has another program of this name.
have_parallel() { parallel --version 2>/dev/null | grep -q '^GNU parallel'; }

have_redis() { command -v redis-server >/dev/null; }

install_debian() {
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
  # RUNLEVEL=1: no service is started.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  (apt-get install -y "$1" || { apt-get update && apt-get install -y "$1"; }) >/dev/null 2>&1
}

install_parallel() { install_debian parallel; }
install_redis() { install_debian redis-server; }

set_up_peer() {
  local name=$1 have=$2 set_up=$3
  if "$have"; then return; fi
  if [ "$install" = yes ]; then
    say "Installing $name ..."
    "$set_up" >&2 || true
  fi
  "$have" || say "$name: not installed, and the installation failed; omitted"
}

if [ "$dispatch" = yes ] || [ "$names" -eq 0 ]; then
  set_up_peer 'Huey, doit, Dask, Celery, RQ' have_systems install_systems
  set_up_peer 'GNU parallel' have_parallel install_parallel
  set_up_peer Redis have_redis install_redis
fi

export PYTHONPATH=$PWD
exec "$python" -P -m benchmarks ${arguments[@]+"${arguments[@]}"}
