#!/usr/bin/env bash
# Prints the changes of a version from CHANGELOG.md: .ci/release-notes.sh VERSION, such as 1.2.0 or Unreleased.
# The changes of this version of the code are those of "Unreleased" until CHANGELOG.md has a section of the version.
set -euo pipefail

if [ $# -ne 1 ]; then
  printf 'Usage: .ci/release-notes.sh VERSION\n' >&2
  exit 2
fi
folder=$(CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
changelog=$folder/CHANGELOG.md

# A heading is the version, or the version and a date: "## 1.2.0 (2026-12-24)".
section() {
  VERSION=$1 awk '
    /^## / { found = ($2 == ENVIRON["VERSION"]); next }
    found { print }
  ' "$changelog" | sed -e '/./,$!d'
}

notes=$(section "$1")
present=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$folder/orchestrator/__init__.py")
if [ -z "$notes" ] && [ "$1" = "$present" ]; then notes=$(section Unreleased); fi
if [ -z "$notes" ]; then
  printf 'release-notes.sh: CHANGELOG.md has no changes of %s; its versions:\n' "$1" >&2
  sed -n 's/^## /  /p' "$changelog" >&2
  exit 1
fi
printf '%s\n' "$notes"
