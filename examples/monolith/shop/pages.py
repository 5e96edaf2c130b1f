"""The shop's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_login import LoginManager, current_user, login_required, login_user, logout_user
from flask_wtf import CSRFProtect

from .models import Customer, customer_named, db, order_of

if TYPE_CHECKING:
    from flask import Flask, Request
    from werkzeug import Response

pages = Blueprint("pages", __name__)
login_manager = LoginManager()
login_manager.login_view = "pages.login"
csrf = CSRFProtect()


def init_app(app: Flask) -> None:
    """Give the site its pages, its login and its protection against forged forms."""
    login_manager.init_app(app)
    csrf.init_app(app)
    app.register_blueprint(pages)
    app.register_error_handler(404, lambda _: (render_template("404.html"), 404))


def customer_name(_: Request) -> str | None:
    """Who asks an agent: whoever is logged in to the site."""
    return current_user.name if current_user.is_authenticated else None


@login_manager.user_loader  # type: ignore[untyped-decorator] # Flask-Login ships no types
def load_customer(customer_id: str) -> Customer | None:
    """Find the customer whom the session cookie names."""
    return db.session.get(Customer, int(customer_id))


@pages.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    """Log in with name and password."""
    if request.method == "POST":
        customer = customer_named(request.form["name"])
        if customer is not None and customer.has_password(request.form["password"]):
            login_user(customer)
            return redirect(url_for("pages.orders"))
        flash("Name or password is wrong.")
    return render_template("login.html")


@pages.post("/logout")
def logout() -> Response:
    """Log out."""
    logout_user()
    return redirect(url_for("pages.login"))


@pages.get("/")
@login_required  # type: ignore[untyped-decorator] # Flask-Login ships no types
def orders() -> str:
    """List the customer's orders."""
    return render_template("orders.html", orders=current_user.orders)


@pages.route("/orders/<int:number>", methods=["GET", "POST"])
@login_required  # type: ignore[untyped-decorator] # Flask-Login ships no types
def order(number: int) -> str | Response:
    """Show one order; its form leaves a note for the shop."""
    found = order_of(current_user.name, number)
    if found is None:
        abort(404)
    if request.method == "POST":
        found.note = request.form["note"]
        db.session.commit()
        return redirect(url_for("pages.order", number=number))
    return render_template("order.html", order=found)
