"""Persistence by subject: one repository each, as an attribute of `sql.store.Store`."""
