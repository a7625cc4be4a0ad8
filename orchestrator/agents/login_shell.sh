# Read by bash as BASH_ENV, also in login shells, which take their PATH from /etc/profile:
# orchestrator is found there, too.
# shellcheck shell=bash
case ":$PATH:" in
  *":$ORCHESTRATOR_HOME/bin:"*) ;;
  *) PATH=$ORCHESTRATOR_HOME/bin:$PATH ;;
esac
