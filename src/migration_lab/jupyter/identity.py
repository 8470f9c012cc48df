"""Who may use JupyterLab: its own pages and programs of this machine, with the token."""

from __future__ import annotations

from jupyter_server.auth.identity import PasswordIdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler


class OwnPages(PasswordIdentityProvider):
    """Refuses every request from a page of another site, even one with the right token.

    Jupyter Server does not check the Origin of a request that has the token. A browser sends requests to this machine
    for any page that is open in it, so each page that learned the token could run programs here.
    A request without an Origin comes from a program, or from a link that a person opened, and needs the token.
    https://jupyter-server.readthedocs.io/en/latest/api/jupyter_server.auth.html
    """

    def should_check_origin(self, handler: JupyterHandler) -> bool:
        return True

    async def get_user(self, handler: JupyterHandler) -> User | None:
        return await super().get_user(handler) if handler.check_origin() else None
