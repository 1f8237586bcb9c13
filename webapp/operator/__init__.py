"""The operator's side of the web application: how things go at the organisations, for the few who may see it."""
