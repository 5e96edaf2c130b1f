"""The shop's database: customers and their orders."""

from __future__ import annotations

import datetime as dt

import click
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash


class Base(DeclarativeBase):
    """What the tables have in common."""


db = SQLAlchemy(model_class=Base)


class Customer(Base, UserMixin):  # type: ignore[misc] # Flask-Login ships no types
    """Somebody who can log in."""

    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    orders: Mapped[list[Order]] = relationship(back_populates="customer", order_by="Order.number")

    def has_password(self, password: str) -> bool:
        """Whether this is the customer's password."""
        return check_password_hash(self.password_hash, password)


class Order(Base):
    """What a customer has bought."""

    __tablename__ = "customer_order"

    number: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    item: Mapped[str]
    state: Mapped[str]
    due: Mapped[dt.date]
    note: Mapped[str] = mapped_column(default="")
    customer: Mapped[Customer] = relationship(back_populates="orders")


def customer_named(name: str) -> Customer | None:
    """The customer who logs in with this name."""
    return db.session.scalar(select(Customer).where(Customer.name == name))


def order_of(customer_name: str, number: int) -> Order | None:
    """The order with this number, if it is this customer's."""
    mine = Order.customer.has(name=customer_name)
    return db.session.scalar(select(Order).where(Order.number == number, mine))


def init_app(app: Flask) -> None:
    """Give the site its database, and the command that fills it."""
    db.init_app(app)
    app.cli.add_command(fill_database)


@click.command("fill-database")
def fill_database() -> None:
    """Make the tables again, with two customers, alice and bob, whose passwords are their names."""
    db.drop_all()
    db.create_all()
    db.session.add_all(
        [
            _customer(
                "alice",
                Order(number=1001, item="Kettle", state="shipped", due=_day(3)),
                Order(number=1002, item="Desk lamp", state="being packed", due=_day(7)),
                Order(number=1003, item="Set of four chairs", state="delivered", due=_day(1)),
            ),
            _customer(
                "bob",
                Order(number=2001, item="Garden hose", state="waiting for parts", due=_day(21)),
            ),
        ]
    )
    db.session.commit()


def _customer(name: str, *orders: Order) -> Customer:
    return Customer(name=name, password_hash=generate_password_hash(name), orders=list(orders))


def _day(day: int) -> dt.date:
    return dt.date(2030, 6, day)
