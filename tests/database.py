"""The database itself, for tests that look at it or change it behind the store's back."""


def driver_of(store):
    """Give the connection that an SQLite store uses next: in a test of one thread, always the same one."""
    with store.engine._connection() as connection:
        return connection.driver
