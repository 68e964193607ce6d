"""``segue open``: the explorer of a deployed stack, in the browser."""

import webbrowser
from threading import Thread
from typing import Annotated

import typer

from infra.cli.output import console


def open_explorer(
    stack: Annotated[
        str, typer.Option(metavar="NAME", help="The stack, in the region of the environment.")
    ] = "segue-dev",
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The API itself, in place of a stack's name."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the address to open.")] = 8001,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")
    ] = True,
) -> None:
    """Open the explorer of a deployed stack in the browser, until Ctrl-C.

    A proxy on 127.0.0.1 signs what the browser asks by your AWS credentials, those of the
    environment (AWS_PROFILE, AWS_DEFAULT_REGION). Other websites cannot use it; other programs of
    this machine can.
    """
    from infra.process import HOST, interruptible, listen
    from infra.proxy import Proxy, server
    from infra.service import auth_for, connect, stack_url

    terminal = console()
    api = url or stack_url(stack)
    with connect(api) as client:
        client.health()
    address = f"http://{HOST}:{port}/"
    with listen(port, "--port") as listener, interruptible():
        terminal.print(f"{address} shows {api}. Ctrl-C stops.")
        if browser:
            # Some browsers come back only when they are closed.
            Thread(target=webbrowser.open, args=[address], daemon=True).start()
        try:
            server(Proxy(api, port, auth_for(api))).run(sockets=[listener])
        except KeyboardInterrupt:
            terminal.print("Stopped.")
