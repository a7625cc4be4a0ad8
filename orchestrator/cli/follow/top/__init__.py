"""The command ``top``: a live screen of all jobs and workers.

``command`` starts the screen, and ``program`` is its loop. ``source`` reads jobs from the server or
from files, ``view`` selects and orders rows, ``frame`` draws the rows, and ``screen`` controls the
terminal.
"""
