#!/usr/bin/env bash
# Sets up .venv and config.yaml in this folder. Idempotent: existing files are not changed.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: ./install.sh [options]

Installs packages into .venv in this folder, writes config.yaml with a new API key, and
creates the workspace directory. Changes nothing outside this folder. A second run is quick.

  --dev            also install the packages that ./run-tests.sh needs
  --with PACKAGE   also install PACKAGE, such as apprise==2.2.0 (.venv has no pip)
  --grammars       install the grammars (24 MB), with which the survey reads C, C++, C#, Go, Java,
                   JavaScript, PHP, Ruby, Rust, Bash, and TypeScript. Without grammars, the survey
                   only counts the lines of these languages. If the grammars cannot be installed,
                   install.sh fails.
                   Default: install the grammars if the project around this folder has files of
                   these languages (except Bash) in git. If the grammars cannot be installed,
                   continue without grammars.
  --no-grammars    never install the grammars
  --offline DIR    install packages only from DIR; fill DIR on another machine, with the same
                   version of Python (such as 3.13):
                     python3 -m pip download -r requirements.txt -r requirements-survey.txt -d DIR
                   (requirements-dev.txt for --dev)
  --python PATH    use this Python (3.11 or newer)
  --pip            use venv and pip even if uv is installed
  -q, --quiet      print nothing if there is nothing to do
  -h, --help       show this text
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
say() { if [ "$quiet" = no ]; then printf '%s\n' "$*"; fi; }
working() { printf '%s\n' "$*" >&2; }
fail() {
  printf 'install.sh: %s\n' "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
  exit 1
}
usage_error() {
  printf 'install.sh: %s; see %s --help\n' "$1" "$(path_here install.sh)" >&2
  exit 2
}

dev=no grammars='' offline='' python='' use_uv=yes quiet=no further=()
while [ $# -gt 0 ]; do
  case $1 in
    --dev) dev=yes ;;
    --grammars) grammars=yes ;;
    --no-grammars) grammars=no ;;
    --offline | --python | --with)
      [ $# -ge 2 ] || usage_error "$1 needs a value"
      case $1 in
        --offline) offline=$2 ;;
        --python) python=$2 ;;
        *) further+=("$2") ;;
      esac
      shift
      ;;
    --pip) use_uv=no ;;
    -q | --quiet) quiet=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done
[ "$dev$grammars" != yesno ] || usage_error '--dev needs the grammars, so it cannot be used with --no-grammars'
if [ -n "$offline" ]; then
  [ -d "$offline" ] || fail "--offline: '$offline' is not a directory"
  offline=$(CDPATH='' cd -- "$offline" && pwd)
fi
case $python in */*)
  [ -x "$python" ] || fail "--python: '$python' is not a program; pass a path such as /usr/bin/python3.13"
  python=$(CDPATH='' cd -- "$(dirname -- "$python")" && pwd)/${python##*/}
  ;;
esac

cd -- "$folder"
venv_python=$folder/.venv/bin/python
log=$folder/.install.log
requirements=requirements.txt
[ "$dev" = no ] || requirements='requirements-dev.txt'
# If this file exists, .venv has no grammars on purpose: the user passed --no-grammars, the project had no file that
# needs grammars, or the grammars could not be installed. ./quick-start.sh then does not try to install them each time.
no_grammars=$folder/.venv/.no-grammars
# Directory of a pip that exists only during the installation.
own_pip=$folder/.venv/.pip
# Unset variables that change what pip and uv install, or into which directory, and which libraries Python loads.
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX PIP_CONSTRAINT PIP_REQUIREMENT
unset UV_SYSTEM_PYTHON UV_CONSTRAINT UV_OVERRIDE UV_TARGET UV_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

# A stamp is a file with the folder's path and the list of packages that were installed into .venv. The
# stamp contains the path, because scripts in .venv contain their own path, and break when the folder is
# moved.
stamp_text() { printf '%s\n' "$folder" && cat "$1"; }
stamp_of() { printf '%s' "$folder/.venv/.installed-${1%.txt}"; }
stamped() { [ -f "$(stamp_of "$1")" ] && stamp_text "$1" | cmp -s - "$(stamp_of "$1")"; }
packages_are_in() { [ -x "$venv_python" ] && stamped "$requirements" && grammars_are_settled; }
grammars_are_settled() {
  if [ "$grammars" = no ]; then [ -e "$no_grammars" ]; else stamped requirements-survey.txt; fi
}
has_key() { grep -Eqs "^[^#]*api_key: *[\"']?[^\"' #]{16,}" config.yaml; }
is_complete() { packages_are_in && has_key && [ -d workspace ] && [ ${#further[@]} = 0 ]; }

lock() {
  if command -v flock >/dev/null; then
    exec 9>.install.lock
    flock -n 9 || { working 'Another install.sh is running in this folder; waiting for its end.' && flock 9; }
    return
  fi
  # Without flock, the lock is a link that names the owner's process id, because a link is created
  # atomically.
  until ln -s $$ .install.lock.pid 2>/dev/null; do
    if kill -0 "$(readlink .install.lock.pid)" 2>/dev/null; then sleep 1; else rm -f .install.lock.pid; fi
  done
  trap 'rm -f "$folder/.install.lock.pid"' EXIT
}

version_of() { "$1" -I -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
is_supported() { "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate version found='' candidates=(python3.14 python3.13 python3.12 python3.11 python3 python)
  [ -z "$python" ] || candidates=("$python")
  for candidate in "${candidates[@]}"; do
    version=$(version_of "$candidate") || continue
    found="${found:+$found, }$candidate is $version"
    is_supported "$candidate" || continue
    python=$candidate
    return
  done
  [ -z "$python" ] || fail "--python: '$python' is not Python 3.11 or newer (${found:-it does not run})" \
    'Pass a path such as /usr/bin/python3.13.'
  if [ "$use_uv" = yes ]; then
    python=3.13 # uv fetches it
    return
  fi
  fail "no Python 3.11 or newer on the PATH (found: ${found:-no Python})" \
    'Install Python, for example: sudo apt install python3 python3-venv' \
    "or install uv, which downloads Python, or name a Python: $(path_here install.sh) --python PATH"
}

logged() { "$@" >>"$log" 2>&1 </dev/null; }

fail_with_log() {
  tail -n 12 "$log" >&2 || true
  local version
  if [ -n "$offline" ] && version=$(version_of "$venv_python" | cut -d. -f1,2); then
    fail "$1 (complete log: $log)" \
      "If the lines above name a package: $offline lacks this package for Python $version." \
      "Fill the directory on a machine with Python $version (see --help), or use another Python here:" \
      "rm -rf $(path_here .venv) && $(path_here install.sh) --offline '$offline' --python PATH"
  fi
  fail "$1 (complete log: $log)" \
    'If the lines above name a network error: behind a proxy, set HTTPS_PROXY; without a network,' \
    "use $(path_here install.sh) --offline DIR. If they name a full disk: free space, and run the script again."
}

# Fails if .venv lacks a package or a file of a package. This is also the case if an upgrade of the system replaced
# Python 3.11 by 3.13, for example: the new Python searches another directory than the directory of the packages.
has_all_packages() {
  "$venv_python" -I orchestrator/cli/doctor/package_files.py .venv/.installed-* >/dev/null 2>&1
}

venv_is_good() {
  is_supported "$venv_python" || return 1
  local stamp
  for stamp in .venv/.installed-*; do
    if [ -f "$stamp" ]; then
      [ "$(head -n 1 "$stamp")" = "$folder" ] && has_all_packages
      return
    fi
  done
  grep -Fqs -- "$folder/.venv" .venv/bin/activate
}

# Fails if a usable .venv has another Python version than the Python of the option --python. This script does not
# replace the .venv, because a server may be using it.
check_requested_python() {
  [ -n "$python" ] || return 0
  find_python
  local requested current
  venv_is_good || return 0
  requested=$(version_of "$python") current=$(version_of "$venv_python")
  [ "$requested" = "$current" ] || fail "$folder/.venv has Python $current, and '$python' is $requested" \
    "To change it, stop the server, then type: rm -rf $(path_here .venv) && $(path_here install.sh) --python '$python'"
}

make_venv() {
  rm -rf .venv
  if [ "$use_uv" = yes ]; then
    logged uv venv --no-project --python "$python" "$folder/.venv" || fail_with_log 'uv could not create .venv'
  else
    # In .venv, pip and setuptools would take 27 MB, and the time to install them.
    logged "$python" -I -m venv --without-pip "$folder/.venv" || fail_with_log 'Python could not create .venv'
  fi
}

# Sets the array `installer` to the command that installs into .venv.
choose_installer() {
  if [ "$use_uv" = yes ]; then
    installer=(uv pip install --compile-bytecode --python "$venv_python")
    return
  fi
  if "$venv_python" -I -c 'import pip' 2>/dev/null; then
    installer=("$venv_python" -I -m pip install)
    return
  fi
  local candidate base minor
  base=$("$venv_python" -I -c 'import sys; print(sys._base_executable)')
  for candidate in "$base" ${python:+"$python"} python3.14 python3.13 python3.12 python3.11 python3; do
    # pip 22.3 and newer versions have the option --python.
    if "$candidate" -I -m pip --python "$venv_python" --version >/dev/null 2>&1; then
      installer=("$candidate" -I -m pip --python "$venv_python" install)
      return
    fi
  done
  # Debian's Python has no pip, but can install pip if the machine has the package python3-venv.
  if "$venv_python" -I -c 'import ensurepip' 2>/dev/null; then
    logged "$venv_python" -I -m venv "$own_pip" || fail_with_log 'pip could not be installed'
    installer=("$own_pip/bin/python" -I -m pip --python "$venv_python" install)
    return
  fi
  minor=$(version_of "$venv_python" | cut -d. -f1,2)
  fail "Python $minor has no pip for .venv." \
    "On Debian and Ubuntu type: sudo apt install python$minor-venv" \
    "or install uv; then type: rm -rf $(path_here .venv) && $(path_here install.sh)"
}

# Makes uv trust this machine's certificates, as pip, git, and curl do. uv has its own list of certificates, which lacks
# the certificate of a proxy that intercepts TLS. The second variable is for uv before 0.11.
trust_what_this_machine_trusts() {
  local bundle
  for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem; do
    [ ! -s "$bundle" ] || export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-1}"
  done
}

# Installs packages, with --offline only from the directory. With --no-index, pip and uv ask no registry.
from_source() {
  local source=()
  [ -z "$offline" ] || source=(--no-index --find-links "$offline")
  logged "${installer[@]}" ${source[@]+"${source[@]}"} "$@"
}

install_list() {
  from_source --require-hashes -r "$1" || return
  stamp_text "$1" >"$(stamp_of "$1")"
}

install_packages() {
  install_list "$requirements" || fail_with_log 'the packages could not be installed'
  if [ "$dev" = no ]; then
    install_grammars
    return
  fi
  # The development list includes the two other lists.
  stamp_text requirements.txt >"$(stamp_of requirements.txt)"
  stamp_text requirements-survey.txt >"$(stamp_of requirements-survey.txt)"
  rm -f "$no_grammars"
}

# Succeeds if the project around this folder has files in git whose language needs a grammar. Bash does not count,
# because nearly every project has a script.
project_needs_grammars() {
  local endings='c c++ cc cjs cpp cs cts cxx gemspec go h hh hpp hxx ipp java js jsx mjs mts php phtml rake rb rs ru ts tsx'
  local globs=() ending
  for ending in $endings; do globs+=("*.$ending"); done
  [ -n "$(git -C .. ls-files -- "${globs[@]}" ":(exclude,literal)${folder##*/}" 2>/dev/null | head -n 1)" ]
}

keep_decision_about_grammars() {
  if [ "$dev$grammars" = no ] && [ -e "$no_grammars" ]; then grammars=no; fi
}

wants_grammars() {
  case $grammars in
    yes) true ;;
    no) false ;;
    # If the former .venv had grammars, the new .venv also gets grammars.
    *) [ "$had_grammars" = yes ] || project_needs_grammars ;;
  esac
}

install_grammars() {
  if wants_grammars; then
    if install_list requirements-survey.txt; then
      rm -f "$no_grammars"
      return
    fi
    [ "$grammars" != yes ] || fail_with_log 'the grammars could not be installed'
    tail -n 3 "$log" >&2 || true
    working 'The grammars could not be installed: the survey only counts the lines of languages other than' \
      "Python. Everything else works. To retry: $(path_here install.sh) --grammars"
  fi
  : >"$no_grammars"
}

set_up_packages() {
  local complete=no
  rm -rf "$own_pip"  # A failed run may have left this directory.
  if packages_are_in && venv_is_good; then complete=yes; fi
  if [ "$complete" = yes ] && [ ${#further[@]} = 0 ]; then return; fi
  if [ "$use_uv" = yes ] && ! command -v uv >/dev/null; then use_uv=no; fi
  trust_what_this_machine_trusts
  venv_is_good || find_python
  working "Installing packages into .venv (the first time takes up to a minute) ..."
  : >"$log"
  # A folder that was moved gets a new .venv, with the same packages.
  had_grammars=no
  if [ -f "$(stamp_of requirements-survey.txt)" ]; then had_grammars=yes; fi
  venv_is_good || make_venv
  choose_installer
  [ "$complete" = yes ] || install_packages
  if [ ${#further[@]} -gt 0 ]; then
    from_source -- "${further[@]}" || fail_with_log "these packages could not be installed: ${further[*]}"
  fi
  rm -rf "$own_pip"
}

# Compiles the product. Otherwise, with PYTHONDONTWRITEBYTECODE, every start of a program would compile it again.
compile_product() {
  logged "$venv_python" -I -m compileall -q orchestrator || true
}

set_up_key() {
  has_key && return
  PYTHONPATH=$folder "$venv_python" -P -m orchestrator.config.new_api_key "$folder" >&2 ||
    fail 'the API key in config.yaml could not be set up (see above)'
}

# Prints each package of a former release that is a module in this release. If this release was copied over the former
# release, Python would import the former package.
packages_of_former_release() {
  local package
  for package in orchestrator/{*,*/*,*/*/*,*/*/*/*,*/*/*/*/*}; do
    [ ! -f "$package/__init__.py" ] || [ ! -f "$package.py" ] || printf '%s\n' "$package"
  done
}

check_requested_python
former=$(packages_of_former_release)
[ -z "$former" ] || fail "$folder has code of a former release" \
  "Type there: rm -r ${former//$'\n'/ }" \
  'For the next upgrade, remove the directory orchestrator, then copy the release.'
if [ "$grammars" = no ] && stamped requirements-survey.txt; then
  fail "--no-grammars: $folder/.venv already has the grammars" \
    "To remove them, stop the server, then type: rm -rf $(path_here .venv) && $(path_here install.sh) --no-grammars"
fi
keep_decision_about_grammars
if is_complete && venv_is_good; then
  say 'Already installed: nothing to do.'
  exit 0
fi
case $folder in
  *:*) fail "the path of this folder contains ':', which Python does not allow: $folder" 'Move the folder.' ;;
esac
for file in requirements.txt requirements-survey.txt config.template.yaml orchestrator; do
  [ -e "$file" ] || fail "$folder/$file is missing; copy the whole folder again"
done
if ! [ -w . ] || ! (: >>.install.lock) 2>/dev/null; then
  fail "cannot write to $folder" 'Copy the folder to a directory that you own, or change the owner of the folder.'
fi
lock
keep_decision_about_grammars  # Another install.sh may have decided during the wait.
set_up_packages
compile_product
set_up_key
mkdir -p workspace || fail "cannot create $folder/workspace"
rm -f "$log"
say "Ready. Try: $(path_here quick-start.sh) \"Survey this repository\""
