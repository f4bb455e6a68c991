"""IAM policies: parsed and compiled once in ``document``, decided in ``evaluate``.

Pure: no I/O and no clock; a request brings its own ``aws:CurrentTime``.
"""
