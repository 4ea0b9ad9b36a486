# SPDX-License-Identifier: GPL-2.0-or-later
"""A receiver of webhooks as a process, which can be killed: it keeps what it acknowledged.

    python -m tests.support.webhook PORT FILE

Each event is a line of FILE, on the disk before it is acknowledged: {"headers": ..., "body": ...}.
A body with "answer STATUS" in its disabled_reason is refused with that status.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import sys
from pathlib import Path
from typing import Any


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file: Path

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        refused = re.search(rb"answer (\d+)", content)
        status = int(refused[1]) if refused else 204
        line = {"headers": dict(self.headers), "status": status, "body": json.loads(content)}
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    _Handler.file = Path(sys.argv[2])
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()


if __name__ == "__main__":
    main()
