"""For every test run, however it is started: no progress bars in outputs, one thread a process."""

import os

os.environ.setdefault("BOOK_PROGRESS", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")
