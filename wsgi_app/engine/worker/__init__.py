"""One worker: all of its turns, its lease, what it hears of the store, and how it leaves."""
