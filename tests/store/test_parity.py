"""A backend offers what the contract names, and no more."""

from __future__ import annotations

import inspect

from tests.store.steps import MakeStore
from tests.support.each import each
from wsgi_app.store.base import Store, StoreLimits


def public_names(owner: object) -> set[str]:
    """Names without an underscore before them."""
    return {name for name in dir(owner) if not name.startswith("_")}


def test_public_names_are_the_contracts(store: Store) -> None:
    """The public names of a backend are those of the contract."""
    assert public_names(store) == public_names(Store) | set(Store.__annotations__)


def test_signatures_are_the_contracts(store: Store) -> None:
    """Each operation takes the contract's parameters, by their names."""
    for name in each(public_names(Store) - {"offers", "resumes"}, 35):
        expected = inspect.signature(getattr(Store, name))
        assert inspect.signature(getattr(type(store), name)) == expected, name


def test_the_secret_stays_the_same(make_store: MakeStore) -> None:
    """A store's secret is one value, 32 bytes, for all who use it; another's is another."""
    one, other = make_store(StoreLimits()), make_store(StoreLimits())
    assert len(one.secret()) == 32
    assert one.secret() == one.secret()
    assert (one.secret() == other.secret()) == one.shared


def test_backend_says_whether_it_is_shared(store: Store) -> None:
    """Whether other workers see the same data is a plain yes or no."""
    assert store.shared in (True, False)
