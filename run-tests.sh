#!/usr/bin/env bash
# Sets up what the tests need and runs them all: style, types, scripts, then the suite.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: ./run-tests.sh [--quick | --agents] [pytest options]

Checks style (ruff), types (mypy) and scripts (shellcheck), then runs the tests.

  --quick          the everyday part: without servers, crashes and other slow tests
  --agents         only the tests with the real AI tools, which npm installs into .agents-tools
                   (1.2 GB); they talk to a model API on this machine. CI=true runs them, too
  -h, --help       show this text

Everything else goes to pytest, for example: ./run-tests.sh tests/unit -k config
USAGE
}

pytest_options=() selection=(-m 'not real_tools') agents=false suite=true
# What the build server runs is everything.
if [ "${CI-}" = true ] && [ $# -eq 0 ]; then agents=true; fi
for argument in "$@"; do
  case $argument in
    --quick) selection=(-m 'not slow') ;;
    --agents) agents=true suite=false ;;
    -h | --help) usage && exit 0 ;;
    *) pytest_options+=("$argument") ;;
  esac
done

# Links are followed, as from a directory on PATH; an old macOS has no readlink -f.
script=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || script=${BASH_SOURCE[0]}
CDPATH='' cd -P -- "$(dirname -- "$script")"
started=$SECONDS
bash ./install.sh --dev --quiet
python=$PWD/.venv/bin/python
export PYTHONPATH=$PWD
# Hundreds of processes are started; without kept bytecode each would compile the product anew.
unset PYTHONDONTWRITEBYTECODE

# Many tests wait more than they compute: one process more than there are processors. Many
# processors do not help tests that start servers; eight processes at most.
processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
processes=$((processors < 8 ? processors + 1 : 8))

summary='' failed=0
step() {
  local name=$1 begun=$SECONDS status=0 word=ok
  shift
  printf '\n== %s\n' "$name"
  "$@" </dev/null || status=$?
  if [ "$status" -ne 0 ]; then word=FAILED failed=1; fi
  summary+=$(printf '%-12s %-8s %4d s' "$name" "$word" $((SECONDS - begun)))$'\n'
}

# have COMMAND PACKAGE: whether it is there, perhaps because it could be installed.
have() {
  command -v "$1" >/dev/null && return
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
  echo "Installing $2 ..."
  export DEBIAN_FRONTEND=noninteractive
  (apt-get install -y "$2" || { apt-get update && apt-get install -y "$2"; }) >/dev/null 2>&1
}

# shellcheck disable=SC2317  # called through step
check_scripts() {
  if ! have shellcheck shellcheck; then
    echo 'shellcheck is not installed (Debian: sudo apt install shellcheck); the scripts are not checked'
    [ "${CI-}" != true ]
    return
  fi
  find . \( -name .venv -o -name .git -o -name .agents-tools -o -path ./workspace \) -prune -o \
    -type f \( -name '*.sh' -o -path ./bin/orchestrator -o -path ./.ci/run \) -print0 |
    xargs -0 shellcheck --
}

# The tools stay for the next run; npm runs again when their versions change.
# shellcheck disable=SC2317  # called through step
install_tools() {
  local tools=$1 wanted=tests/agents/real/package.json
  if ! command -v npm >/dev/null; then
    echo 'npm is not installed (https://nodejs.org); the real AI tools are not tested'
    [ "${CI-}" != true ]
    return
  fi
  mkdir -p "$tools"
  (
    # Two at once would undo each other's work.
    if command -v flock >/dev/null; then flock -w 600 9; fi
    if cmp -s "$wanted" "$tools/installed.json"; then exit 0; fi
    cp "$wanted" "$tools/package.json"
    npm install --prefix "$tools" --no-audit --no-fund --no-package-lock --loglevel=error
    cp "$wanted" "$tools/installed.json"
  ) 9>"$tools/.lock"
}

check_agents() {
  if [ -z "${ORCHESTRATOR_TEST_TOOLS-}" ]; then
    export ORCHESTRATOR_TEST_TOOLS=$PWD/.agents-tools
    step 'AI tools' install_tools "$ORCHESTRATOR_TEST_TOOLS"
  fi
  # Four tools at a time at most: they need up to a gigabyte each.
  step agents "$python" -m pytest -n $((processes < 4 ? processes : 4)) --dist worksteal \
    -m real_tools tests/agents/real "$@"
}

if [ "$suite" = true ]; then
  have bwrap bubblewrap || echo 'bubblewrap is not installed; the tests of the sandbox are skipped'
  step style "$python" -m ruff check .
  step format "$python" -m ruff format --check .
  step types "$python" -m mypy
  step scripts check_scripts
  # Slow tests stand together: a process that is done takes some of those that wait elsewhere.
  step tests "$python" -m pytest -n "$processes" --dist worksteal \
    "${selection[@]}" ${pytest_options[@]+"${pytest_options[@]}"}
fi
if [ "$agents" = true ]; then
  check_agents ${pytest_options[@]+"${pytest_options[@]}"}
fi

printf '\n%s' "$summary"
printf '%-12s %-8s %4d s\n' total "$([ "$failed" -eq 0 ] && echo ok || echo FAILED)" $((SECONDS - started))
exit "$failed"
