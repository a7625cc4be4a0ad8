#!/usr/bin/env bash
# Installs the programs for tests, checks style, types, and scripts, and runs the tests.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: ./run-tests.sh [--quick | --agents | --nightly] [pytest options]

Checks style (ruff), types (mypy) and scripts (shellcheck), then runs the tests.

  --quick          run only the fast tests: no servers, crashes, or other slow tests
  --agents         run only the tests with real AI tools, against a model API on this machine. npm
                   installs the tools into .agents-tools (1.2 GB). With CI=true and no arguments,
                   these tests run in addition to the others.
  --nightly        also run the tests that other runs exclude: one minute of the soak test, each
                   AI tool, crashes at every failpoint, and all Hypothesis examples
  -h, --help       show this text

Other arguments are passed to pytest, for example: ./run-tests.sh tests/unit -k config
USAGE
}

pytest_options=() agents=false suite=true quick=false nightly=' and not nightly'
# In CI (CI=true, no arguments), the real AI tools are tested, too.
if [ "${CI-}" = true ] && [ $# -eq 0 ]; then agents=true; fi
for argument in "$@"; do
  case $argument in
    --quick) quick=true ;;
    --agents) agents=true suite=false ;;
    --nightly)
      nightly='' agents=true
      export ORCHESTRATOR_TEST_NIGHT=1
      ;;
    -h | --help) usage && exit 0 ;;
    *) pytest_options+=("$argument") ;;
  esac
done

# Follow symbolic links, because a directory on the PATH may have a link to this script. An old macOS has
# no readlink -f.
script=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || script=${BASH_SOURCE[0]}
CDPATH='' cd -P -- "$(dirname -- "$script")"
started=$SECONDS
bash ./install.sh --dev --quiet
python=$PWD/.venv/bin/python
export PYTHONPATH=$PWD
# Write bytecode files. The tests start hundreds of processes, and without bytecode files each process
# would compile the product again.
unset PYTHONDONTWRITEBYTECODE

# Tests wait for a quarter of their time, so two more processes than processors keep all processors busy. The maximum is
# eight, because tests that start servers do not run faster with more processes.
processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
processes=$((processors < 7 ? processors + 2 : 8))

summary='' failed=0
step() {
  local name=$1 begun=$SECONDS status=0 word=ok
  shift
  printf '\n== %s\n' "$name"
  "$@" </dev/null || status=$?
  if [ "$status" -ne 0 ]; then word=FAILED failed=1; fi
  summary+=$(printf '%-12s %-8s %4d s' "$name" "$word" $((SECONDS - begun)))$'\n'
}

# begin NAME COMMAND...: run COMMAND in the background. COMMAND calls step. await NAME: wait for the end of the command,
# and print its output.
beside=''
trap 'jobs -p | xargs kill 2>/dev/null || true; rm -rf "$beside"' EXIT
# shellcheck disable=SC2030
begin() {
  local name=$1
  shift
  beside=${beside:-$(mktemp -d)}
  (
    trap - EXIT
    summary=''
    "$@"
    printf '%s' "$summary" >"$beside/$name.summary"
    exit "$failed"
  ) >"$beside/$name.output" 2>&1 &
  echo $! >"$beside/$name.pid"
}

# shellcheck disable=SC2031
await() {
  wait "$(cat "$beside/$1.pid")" || failed=1
  cat "$beside/$1.output"
  summary+=$(cat "$beside/$1.summary")$'\n'
}

# have COMMAND PACKAGE: succeed if COMMAND exists. If it does not exist, root installs the Debian package PACKAGE first.
# shellcheck disable=SC2317,SC2329  # called through step
have() {
  command -v "$1" >/dev/null && return
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
  echo "Installing $2 ..."
  export DEBIAN_FRONTEND=noninteractive
  (apt-get install -y "$2" || { apt-get update && apt-get install -y "$2"; }) >/dev/null 2>&1
}

# shellcheck disable=SC2317,SC2329  # called through step
check_scripts() {
  if ! have shellcheck shellcheck; then
    echo 'scripts not checked: shellcheck is not installed; on Debian: sudo apt install shellcheck'
    [ "${CI-}" != true ]
    return
  fi
  find . \( -name .venv -o -name .git -o -name .agents-tools -o -name .test-tools -o -path ./workspace \) -prune -o \
    -type f \( -name '*.sh' -o -path ./bin/orchestrator -o -path ./.ci/run \) -print0 |
    xargs -0 shellcheck --
}

# filled LIST TARGET COMMAND: install the packages that the file LIST names into the directory TARGET, with
# `COMMAND LIST TARGET`. Do nothing if TARGET was filled from the same list before.
# shellcheck disable=SC2317,SC2329  # called through step
filled() {
  local list=$1 target=$2
  mkdir -p "$(dirname "$target")"
  (
    # Hold a lock, because two runs at the same time would overwrite each other's files.
    if command -v flock >/dev/null; then flock -w 600 9; fi
    # The target's path is part of the stamp, because installed programs contain their own path.
    stamp=$(printf '%s\n' "$target" && cat "$list")
    if [ "$stamp" = "$(cat "$target/installed" 2>/dev/null)" ]; then exit 0; fi
    "$3" "$list" "$target" && printf '%s\n' "$stamp" >"$target/installed"
  ) 9>"$target.lock"
}

# shellcheck disable=SC2317,SC2329  # called through filled
fill_python() {
  local uv=$2/bin/uv
  if command -v uv >/dev/null; then
    uv=uv
    uv venv -q --clear --python "$python" "$2"
  else
    # pip installs only uv, which then installs all packages in seconds; pip alone takes minutes.
    "$python" -m venv --clear --without-pip "$2" && sed -n '/^uv==/,/# via/p' "$1" >"$2/uv.txt" &&
      "$python" -m pip --python "$2/bin/python" install -q --require-hashes -r "$2/uv.txt"
  fi && "$uv" pip install -q --python "$2/bin/python" --require-hashes -r "$1"
}

# shellcheck disable=SC2317,SC2329  # called through filled
fill_node() {
  mkdir -p "$2" && cp "$1" "$2/package.json" &&
    npm install --prefix "$2" --no-audit --no-fund --no-package-lock --loglevel=error
}

# If the machine has no npm, use the npm of the Python tools.
have_npm() {
  command -v npm >/dev/null || export PATH=$PATH:$PWD/.test-tools/python/bin
}

# Compiles the test modules to bytecode. Otherwise, each of the parallel processes would compile all of them. An error of
# a module is reported by the tests.
# shellcheck disable=SC2317,SC2329  # called through step
compile_tests() {
  "$python" -m pytest --collect-only "$@" >/dev/null 2>&1 || true
}

# Installs the tools that tests run in host projects, separately from the packages of the product.
# shellcheck disable=SC2317,SC2329  # called through step
install_tools() {
  local each complete=true
  # Each entry is a program, or a program and the different name of its Debian package.
  for each in bwrap:bubblewrap cargo chromium fish git-lfs systemd-analyze:systemd zsh; do
    have "${each%:*}" "${each#*:}" || { complete=false && echo "${each%:*} is not installed"; }
  done
  filled tests/tools/requirements.txt "$PWD/.test-tools/python" fill_python || complete=false
  have_npm
  filled tests/tools/package.json "$PWD/.test-tools/node" fill_node || complete=false
  if [ "$complete" = false ]; then echo 'tests that need a missing program are skipped'; fi
  [ "$complete" = true ] || [ "${CI-}" != true ]
}

# shellcheck disable=SC2317,SC2329  # called through step
install_agents() {
  if ! command -v npm >/dev/null; then
    echo 'real AI tools not tested: npm is not installed; install Node.js: https://nodejs.org'
    [ "${CI-}" != true ]
    return
  fi
  filled tests/agents/real/package.json "$1" fill_node
}

# check_agents PROCESSES [pytest options]: run the tests with real AI tools.
check_agents() {
  if [ -z "${ORCHESTRATOR_TEST_TOOLS-}" ]; then
    export ORCHESTRATOR_TEST_TOOLS=$PWD/.agents-tools
    step 'AI tools' install_agents "$ORCHESTRATOR_TEST_TOOLS"
  fi
  step agents "$python" -m pytest -n "$1" --dist worksteal -m "real_tools$nightly" tests/agents/real "${@:2}"
}

set -- ${pytest_options[@]+"${pytest_options[@]}"}
if [ "$quick" = true ]; then
  # The fast tests need no tools, and wait little. Each additional process must also collect all tests.
  excluded=slow processes=$((processors < 7 ? processors + 1 : 8))
else
  excluded=real_tools
fi
if [ "$suite" = true ]; then
  # The tools are downloaded, and the tests compiled, during the next steps.
  if [ "$quick" = false ]; then begin tools step tools install_tools; fi
  begin compile step compile compile_tests -m "not $excluded$nightly" "$@"
  step style "$python" -m ruff check .
  step format "$python" -m ruff format --check .
  step types "$python" -m mypy
  await compile
  if [ "$quick" = false ]; then await tools && have_npm; fi
  step scripts check_scripts
  # AI tools wait most of the time. With two parallel tests, the tests of AI tools end before the other tests.
  if [ "$agents" = true ]; then begin agents check_agents 2 "$@"; fi
  # With worksteal, an idle process runs tests of a busy process. Slow tests are next to each other in the list.
  step tests "$python" -m pytest -n "$processes" --dist worksteal -m "not $excluded$nightly" "$@"
  if [ "$agents" = true ]; then await agents; fi
else
  # Run at most four tests in parallel, because an AI tool needs up to a gigabyte of memory.
  check_agents $((processes < 4 ? processes : 4)) "$@"
fi

printf '\n%s' "$summary"
printf '%-12s %-8s %4d s\n' total "$([ "$failed" -eq 0 ] && echo ok || echo FAILED)" $((SECONDS - started))
exit "$failed"
