"""Worker processes of the tool: started afresh (the server has threads), with one thread each for what they compute,
and gone with the process that started them, however that ends."""

import multiprocessing
import os
import signal
import threading

CONTEXT = multiprocessing.get_context("spawn")


def settle() -> None:
    """What a worker process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    os.nice(5)  # the server answers first
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
