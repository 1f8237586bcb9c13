"""Assembly of each process from the configuration: one module per process, so that each imports only what it runs."""
