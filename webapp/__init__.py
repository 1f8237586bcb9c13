"""IN. A person links an iD; and the front hall, where all is put together."""
