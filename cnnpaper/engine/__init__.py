"""Everything that decides a number of a run, and nothing else.

A run is stale when a file of this folder, ``metrics.py`` or its network's file in ``networks/`` has
changed, comments and docstrings apart. What records, shows, checks or launches is in ``runs/``.
"""
