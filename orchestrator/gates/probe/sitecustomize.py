"""Reports the files that a gate executes. Python imports this module at its start.

Python finds this module only by ``PYTHONPATH``. If a gate sets another ``PYTHONPATH``, executed
files are not reported.
"""

import importlib.machinery
import importlib.util
import os
import sys

import orchestrator_executed_files  # type: ignore[import-not-found]

orchestrator_executed_files.begin()

# Also run the ``sitecustomize`` that Python would import if this directory were not on the path.
_own = os.path.dirname(os.path.abspath(__file__))
_others = [each for each in sys.path if os.path.abspath(each or os.curdir) != _own]
_spec = importlib.machinery.PathFinder.find_spec("sitecustomize", _others)
if _spec is not None and _spec.loader is not None:
    _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
