"""The command ``top``: a live screen of all jobs and workers.

``command`` starts it, ``program`` is its loop. ``source`` reads jobs from the server or from files,
``view`` selects and orders rows, ``frame`` draws them, and ``screen`` owns the terminal.
"""
