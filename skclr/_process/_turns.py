"""The lock behind which trainings in threads of one process take turns."""

from __future__ import annotations

import threading

# the global generators and torch's number of threads belong to the whole process
process_lock = threading.RLock()
