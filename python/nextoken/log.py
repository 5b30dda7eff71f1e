"""The logger of the package: silent unless a program, or the command line, gives it a handler."""

from __future__ import annotations

import logging

log = logging.getLogger("nextoken")
log.addHandler(logging.NullHandler())
