#!/usr/bin/env bash
# Installs the tests' programs, then checks style, types, and scripts, and runs the suite.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: ./run-tests.sh [--quick | --agents | --nightly] [pytest options]

Checks style (ruff), types (mypy) and scripts (shellcheck), then runs the tests.

  --quick          the everyday part: no servers, crashes, or other slow tests
  --agents         only the tests with the real AI tools, which npm installs into .agents-tools
                   (1.2 GB); they talk to a model API on this machine. CI=true runs them, too
  --nightly        also the tests that other runs exclude: one minute of the soak test, each AI
                   tool, crashes at every failpoint, and all Hypothesis examples
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

# Links are followed, as from a directory on PATH; an old macOS has no readlink -f.
script=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || script=${BASH_SOURCE[0]}
CDPATH='' cd -P -- "$(dirname -- "$script")"
started=$SECONDS
bash ./install.sh --dev --quiet
python=$PWD/.venv/bin/python
export PYTHONPATH=$PWD
# With bytecode files, because the tests start hundreds of processes and each one would otherwise
# compile the product again.
unset PYTHONDONTWRITEBYTECODE

# Tests wait for a quarter of their time, so two processes more than processors keep all processors
# busy. At most eight: tests that start servers do not run faster with more.
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

# begin NAME COMMAND...: run the command, which calls step, in the background. await NAME: wait for
# its end, and print its output. A step that runs in parallel with others takes longer than alone.
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

# have COMMAND PACKAGE: True if COMMAND exists; as root, installs Debian's PACKAGE if it does not.
# shellcheck disable=SC2317  # called through step
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
  find . \( -name .venv -o -name .git -o -name .agents-tools -o -name .test-tools -o -path ./workspace \) -prune -o \
    -type f \( -name '*.sh' -o -path ./bin/orchestrator -o -path ./.ci/run \) -print0 |
    xargs -0 shellcheck --
}

# filled LIST TARGET COMMAND: fill the directory TARGET with the packages in the file LIST by `COMMAND LIST TARGET`,
# unless TARGET was filled from the same list before.
# shellcheck disable=SC2317  # called through step
filled() {
  local list=$1 target=$2
  mkdir -p "$(dirname "$target")"
  (
    # With a lock, because two runs at the same time would overwrite each other's files.
    if command -v flock >/dev/null; then flock -w 600 9; fi
    # The target's path is part of the stamp, because installed programs contain their own path.
    named=$(printf '%s\n' "$target" && cat "$list")
    if [ "$named" = "$(cat "$target/installed" 2>/dev/null)" ]; then exit 0; fi
    "$3" "$list" "$target" && printf '%s\n' "$named" >"$target/installed"
  ) 9>"$target.lock"
}

# shellcheck disable=SC2317  # called through filled
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

# shellcheck disable=SC2317  # called through filled
fill_node() {
  mkdir -p "$2" && cp "$1" "$2/package.json" &&
    npm install --prefix "$2" --no-audit --no-fund --no-package-lock --loglevel=error
}

# The Python tools include Node.js, which is used if the machine has no npm.
have_npm() {
  command -v npm >/dev/null || export PATH=$PATH:$PWD/.test-tools/python/bin
}

# Installs the tools that tests run in host projects. They are kept apart from the product's own packages.
# shellcheck disable=SC2317  # called through step
install_tools() {
  local each complete=true
  # Each entry is a program, or a program and the different name of its Debian package.
  for each in bwrap:bubblewrap cargo chromium fish git-lfs systemd-analyze:systemd zsh; do
    have "${each%:*}" "${each#*:}" || { complete=false && echo "${each%:*} is not installed"; }
  done
  filled tests/tools/requirements.txt "$PWD/.test-tools/python" fill_python || complete=false
  have_npm
  filled tests/tools/package.json "$PWD/.test-tools/node" fill_node || complete=false
  if [ "$complete" = false ]; then echo 'Tests that need a missing program are skipped.'; fi
  [ "$complete" = true ] || [ "${CI-}" != true ]
}

# shellcheck disable=SC2317  # called through step
install_agents() {
  if ! command -v npm >/dev/null; then
    echo 'npm is not installed (https://nodejs.org); the real AI tools are not tested'
    [ "${CI-}" != true ]
    return
  fi
  filled tests/agents/real/package.json "$1" fill_node
}

# check_agents PROCESSES [pytest options]
check_agents() {
  if [ -z "${ORCHESTRATOR_TEST_TOOLS-}" ]; then
    export ORCHESTRATOR_TEST_TOOLS=$PWD/.agents-tools
    step 'AI tools' install_agents "$ORCHESTRATOR_TEST_TOOLS"
  fi
  step agents "$python" -m pytest -n "$1" --dist worksteal -m "real_tools$nightly" tests/agents/real "${@:2}"
}

set -- ${pytest_options[@]+"${pytest_options[@]}"}
if [ "$quick" = true ]; then
  # Everyday tests need no tools. They wait little, and each additional process has to collect all tests.
  left_out=slow processes=$((processors < 7 ? processors + 1 : 8))
else
  left_out=real_tools
fi
if [ "$suite" = true ]; then
  # The tools are downloaded during the next steps.
  if [ "$quick" = false ]; then begin tools step tools install_tools; fi
  step style "$python" -m ruff check .
  step format "$python" -m ruff format --check .
  step types "$python" -m mypy
  if [ "$quick" = false ]; then await tools && have_npm; fi
  step scripts check_scripts
  # AI tools wait for most of their time: with two parallel tests they end before the suite.
  if [ "$agents" = true ]; then begin agents check_agents 2 "$@"; fi
  # worksteal: slow tests are next to each other in the list, so an idle process runs tests of a busy one.
  step tests "$python" -m pytest -n "$processes" --dist worksteal -m "not $left_out$nightly" "$@"
  if [ "$agents" = true ]; then await agents; fi
else
  # Four parallel tests at most, because an AI tool needs up to a gigabyte.
  check_agents $((processes < 4 ? processes : 4)) "$@"
fi

printf '\n%s' "$summary"
printf '%-12s %-8s %4d s\n' total "$([ "$failed" -eq 0 ] && echo ok || echo FAILED)" $((SECONDS - started))
exit "$failed"
