"""Imported by Python at its start, so that a gate's executed files are reported.

No other variable in a gate's environment may name these modules: a Python with its own
``PYTHONPATH`` does not find them, and has to run without them.
"""

import importlib.machinery
import importlib.util
import os
import sys

import orchestrator_sources  # type: ignore[import-not-found]

orchestrator_sources.begin()

# Finds the module that Python would import without this directory.
_own = os.path.dirname(os.path.abspath(__file__))
_others = [each for each in sys.path if os.path.abspath(each or os.curdir) != _own]
_spec = importlib.machinery.PathFinder.find_spec("sitecustomize", _others)
if _spec is not None and _spec.loader is not None:
    _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
