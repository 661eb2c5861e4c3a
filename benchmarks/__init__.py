"""Measurements against the machine's own peaks and against other compilers and runtimes; never timed tests."""
