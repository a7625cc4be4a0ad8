# Adds orchestrator to PATH. Bash runs this file at its start, because BASH_ENV names it. A login
# shell needs this, because it takes PATH from /etc/profile.
# shellcheck shell=bash
case ":$PATH:" in
  *":$ORCHESTRATOR_HOME/bin:"*) ;;
  *) PATH=$ORCHESTRATOR_HOME/bin:$PATH ;;
esac
