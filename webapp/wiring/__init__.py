"""Assembly of each process from the configuration.

There is one module per process, so that each imports only what it runs.
"""
