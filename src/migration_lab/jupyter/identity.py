"""Who may use JupyterLab: its own pages and programs of this machine, with the token."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from jupyter_server.auth.identity import PasswordIdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler

if TYPE_CHECKING:
    from tornado.web import RequestHandler


class OwnPages(PasswordIdentityProvider):
    """Refuses every request from a page of another site, even one with the right token.

    Jupyter Server does not check the Origin of a request that has the token. A browser sends requests to this machine
    for any page that is open in it, so each page that learned the token could run programs here.
    A request without an Origin comes from a program, or from a link that a person opened, and needs the token.
    https://jupyter-server.readthedocs.io/en/latest/api/jupyter_server.auth.html
    """

    def should_check_origin(self, handler: RequestHandler) -> bool:
        return True

    async def get_user(self, handler: RequestHandler) -> User | None:
        if not isinstance(handler, JupyterHandler) or not handler.check_origin():
            return None
        user = super().get_user(handler)
        return await user if isinstance(user, Awaitable) else user
