"""A learner's kernel without a browser: real, with the name of its notebook, and cells that have an id."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from jupyter_client import KernelManager

CELL_SECONDS = 120


@dataclass
class Said:
    """What a cell left below it, in its order: printed text, and what was displayed by MIME type."""

    printed: str = ""
    displayed: list[dict[str, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def text(self) -> str:
        return "".join(self.order)


class Learner:
    """A kernel that runs a notebook. ``restart`` is Kernel > Restart Kernel."""

    def __init__(self, notebook: str, **variables: str):
        self.variables = os.environ | {"JPY_SESSION_NAME": notebook} | variables
        self.manager = KernelManager(kernel_name="python3")
        self._start()

    def _start(self) -> None:
        self.manager.start_kernel(env=self.variables)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def restart(self) -> None:
        self.end()
        self.manager = KernelManager(kernel_name="python3")
        self._start()

    def run(self, code: str, cell_id: str | None = None, store_history: bool = True) -> Said:
        content = {
            "code": code, "silent": False, "store_history": store_history, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        self.client.shell_channel.send(message)
        said = Said()
        while True:
            answer = self.client.get_iopub_msg(timeout=CELL_SECONDS)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            kind, what = answer["msg_type"], answer["content"]
            if kind == "status" and what["execution_state"] == "idle":
                return said
            if kind == "stream":
                text = what["text"].replace("\r\n", "\n")  # a program after `!` writes to a terminal
                said.printed += text
                said.order.append(text)
            elif kind in ("display_data", "execute_result"):
                said.displayed.append(what["data"])
                said.order.append(what["data"].get("text/plain", ""))
            elif kind == "error":
                said.error = "\n".join(what["traceback"])
                said.order.append(said.error)

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
