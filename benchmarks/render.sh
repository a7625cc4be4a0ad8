#!/usr/bin/env bash
# Writes docs/performance.md and its pictures from benchmarks/results.json.
set -euo pipefail
CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
[ -x .venv/bin/python ] || bash ./install.sh --quiet
export PYTHONPATH=$PWD
exec .venv/bin/python -P -m benchmarks.render "$@"
