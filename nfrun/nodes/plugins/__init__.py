"""Kinds of node that installed packages have: finding them, their static half, and what their `run(job)` gets.

A plug-in is an entry point of the group `nfrun.kinds`. Its static half, `<module>.kind.json`, is data: it is found and
checked without importing the module or a package around it. `installed` finds both, `static_half` reads the data,
and `value_checks` checks the values of a node against it. `job` and `column_texts` have what plug-ins import.
"""
