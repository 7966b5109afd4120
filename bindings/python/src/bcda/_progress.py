"""A progress bar, if tqdm is installed."""

from __future__ import annotations

import logging
from typing import Any, Optional, TYPE_CHECKING

if TYPE_CHECKING:
    from ._job import Job


def make() -> "Optional[Bar]":
    try:
        from tqdm.auto import tqdm  # type: ignore[import]
    except ImportError:
        logging.getLogger("bcda").info("progress=True shows nothing: tqdm is not installed")
        return None
    return Bar(tqdm)


class Bar:
    """Shows the number of received bytes; before the download it shows the server's progress text."""

    def __init__(self, tqdm: Any) -> None:
        self.bar = tqdm(unit="B", unit_scale=True, unit_divisor=1000, desc="bcda")

    def show(self, job: "Job") -> None:
        expected = [f.bytes_expected for f in job.files]
        if expected and all(e is not None for e in expected):
            self.bar.total = sum(e for e in expected if e is not None)
        elif not expected:
            self.bar.set_postfix_str(job.progress_text, refresh=False)
        else:
            self.bar.set_postfix_str(f"{job.files_ended} of {len(expected)} files", refresh=False)
        self.bar.update(job.bytes_received - self.bar.n)

    def close(self, job: "Job") -> None:
        self.show(job)
        if job.result == 0:
            self.bar.total = self.bar.n
            self.bar.refresh()
        self.bar.close()
