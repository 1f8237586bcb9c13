"""Repositories, one for each subject, attributes of `sql.store.Store`."""
