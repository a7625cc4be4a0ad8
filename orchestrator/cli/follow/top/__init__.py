"""The command ``top``: a live screen of all jobs and workers.

``command`` starts the screen, and ``main_loop`` is its loop. ``snapshots`` reads jobs from the
server or from files, ``visible_rows`` selects and orders rows, ``frame`` draws the rows, and
``screen`` controls the terminal.
"""
