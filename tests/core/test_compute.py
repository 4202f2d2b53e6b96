"""What a run sets for its duration, and sets back."""

from __future__ import annotations

import sys
import threading
from typing import Any

import psutil
import pytest
import torch

from unblur import allocation
from unblur.allocation import kept_memory
from unblur.compute import Compute, human_bytes
from unblur.errors import ParameterError


def _settings() -> tuple[object, ...]:
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), fills


def test_what_was_set_before_comes_back_after_an_error() -> None:
    before = _settings()

    def broken_run() -> None:
        with Compute.choose("cpu", threads=1).running():
            assert _settings() == (1, True, False)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        broken_run()
    assert _settings() == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_memory_is_kept_during_a_run_and_given_back_after_it() -> None:
    if allocation._glibc() is None:
        pytest.skip("of glibc")
    process, size = psutil.Process(), 200 << 20
    before = process.memory_info().rss
    with kept_memory():
        with kept_memory():
            torch.ones(size, dtype=torch.uint8)
        assert process.memory_info().rss - before > size // 2
    assert process.memory_info().rss - before < size // 2


def test_runs_side_by_side_end_in_any_order() -> None:
    first, second = kept_memory(), kept_memory()
    first.__enter__()
    second.__enter__()
    thread = threading.Thread(target=first.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert allocation._running == (0 if allocation._glibc() is None else 1)
    second.__exit__(None, None, None)
    assert allocation._running == 0


def test_runs_that_overlap_leave_everything_as_it_was() -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    first, second = (Compute.choose("cpu", threads=1).running() for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.are_deterministic_algorithms_enabled()
    second.__exit__(None, None, None)
    assert (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()) == before


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (999.6e6, "1 GB"), (1.44e9, "1.44 GB")])
def test_bytes_in_words(count: float, words: str) -> None:
    assert human_bytes(count) == words


@pytest.mark.parametrize("threads", [0, -1, 100_000, 1.5, "1", True])
def test_no_sensible_number_of_threads_is_refused(threads: Any) -> None:
    with pytest.raises(ParameterError, match=f"threads = {threads!r}: expected a whole number from 1 to "):
        Compute.choose("cpu", threads=threads)
