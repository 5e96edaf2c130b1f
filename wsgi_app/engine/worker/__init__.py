"""One worker: all of its turns, its lease, the store's signals to it, and how it leaves."""
