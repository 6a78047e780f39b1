"""A server on the loopback that speaks the hub's interface."""
import hashlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Dict, Iterator, List

COMMIT = 'c' * 40


class Hub(ThreadingHTTPServer):
    """Files by the path of their address, and what was asked for.

    ``cut`` is how many bytes of a file stay away, and ``lie`` whether the
    announced hash is of another file.
    """

    def __init__(self, files: Dict[str, bytes]) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.files, self.asked = files, []  # type: ignore
        self.cut, self.lie = 0, False

    asked: List[str]

    @property
    def address(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'


class Handler(BaseHTTPRequestHandler):
    """``/OWNER/NAME/resolve/main/FILE``, as a large file of the hub."""
    server: Hub

    def do_HEAD(self) -> None:
        self.reply(False)

    def do_GET(self) -> None:
        self.reply(True)

    def reply(self, body: bool) -> None:
        self.server.asked.append(f'{self.command} {self.path}')
        data = self.server.files.get(self.path)
        if data is None:
            self.send_response(404)
            self.send_header('X-Error-Code', 'EntryNotFound')
            self.send_header('X-Repo-Commit', COMMIT)
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        digest = hashlib.sha256(b'' if self.server.lie else data).hexdigest()
        self.send_response(200)
        self.send_header('X-Repo-Commit', COMMIT)
        self.send_header('X-Linked-Size', str(len(data)))
        self.send_header('X-Linked-Etag', f'"{digest}"')
        self.send_header('ETag', f'"{digest}"')
        sent = data[:len(data) - self.server.cut]
        self.send_header('Content-Length', str(
            len(sent) if body else len(data)))
        self.end_headers()
        if body:
            self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(files: Dict[str, bytes]) -> Iterator[Hub]:
    """A hub that runs meanwhile."""
    hub = Hub(files)
    thread = Thread(target=hub.serve_forever, args=(0.01, ), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
