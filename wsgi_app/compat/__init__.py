"""What differs between versions of Python and of the packages that the host builds on.

One module for each of them, named for it, and one function for each difference, which names the
versions it is for. Nowhere else is a version, or the presence of an attribute that came with one,
asked for. A module imports its own package alone, so that only those who know that package load it.
"""
