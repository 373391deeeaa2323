"""Serve a built site on this computer only: `python -m _ext.serve [FOLDER]`; Ctrl-C ends it."""

import os
import signal
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SITE = Path(__file__).parent.parent / "_build" / "html"


class Handler(SimpleHTTPRequestHandler):
    """Hand out files, quietly, and let the browser ask each time whether they have changed."""

    def end_headers(self) -> None:
        """Add the header that keeps a rebuilt page from looking old."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_args) -> None:
        """Print nothing for each request."""


class Server(ThreadingHTTPServer):
    """A server that does not mind a browser that hangs up."""

    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Report errors other than a closed connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def make_server(folder: Path, port: int = 0) -> Server:
    """Return a server for a folder on 127.0.0.1, at a free port unless one is given."""
    return Server(("127.0.0.1", port), partial(Handler, directory=str(folder)))


def _take_the_keyboard() -> None:
    """Let Ctrl-C reach this process alone, so that `make` sees it end well; only where there is a terminal."""
    if hasattr(os, "tcsetpgrp") and sys.stdin.isatty() and os.getpgrp() != os.getpid():
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.setpgid(0, 0)
        os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())


def main() -> int:
    """Serve until Ctrl-C or a termination signal."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SITE
    if not (folder / "index.html").is_file():
        print(f"{folder} holds no site: build it first (make book)", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with make_server(folder) as server:
        print(f"The course is at http://127.0.0.1:{server.server_port}/  (Ctrl-C ends it)", flush=True)
        parent = os.getpgrp() if hasattr(os, "getpgrp") else None
        _take_the_keyboard()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
        finally:
            if parent is not None and sys.stdin.isatty():
                os.tcsetpgrp(sys.stdin.fileno(), parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
