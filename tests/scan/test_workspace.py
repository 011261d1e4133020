"""Buffers that come back at any moment: from the garbage collector, from other threads, in a forked process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from ostinato.scan import release_workspace, workspace

SIZE = 1 << 18


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    release_workspace()


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_a_buffer_that_came_back_is_lent_again() -> None:
    first = workspace.Lease(SIZE, torch.float32)
    address = first.data_ptr()
    first.release()
    first.release()
    second, third = workspace.Lease(SIZE, torch.float32), workspace.Lease(SIZE, torch.float32)
    assert second.data_ptr() == address
    assert third.data_ptr() != address


def test_a_buffer_is_lent_for_as_long_as_a_view_is_looked_at() -> None:
    view = workspace.empty((4, SIZE), torch.empty(0))[3, :5].fill_(7)
    other = workspace.empty((4, SIZE), torch.empty(0)).zero_()
    assert view.tolist() == [7] * 5
    assert other.data_ptr() != view.data_ptr() - 3 * SIZE * 4


def test_the_garbage_collector_may_bring_a_buffer_back_in_the_middle_of_lending() -> None:
    ran = _python(
        "import gc, torch\nfrom ostinato.scan.workspace import Lease\n"
        "class Node: pass\n"
        "gc.set_threshold(1)\n"
        "for _ in range(300):\n"
        "    node = Node(); node.itself = node; node.lease = Lease(100, torch.float32); del node\n"
        "    Lease(100, torch.float32)\n"
        "print('done')"
    )
    assert (ran.stdout, ran.stderr) == ("done\n", "")


def test_too_large_a_buffer_is_one_error() -> None:
    ran = _python(
        "import torch\nfrom ostinato.scan.workspace import Lease\n"
        "try: Lease(1 << 50, torch.float32)\nexcept RuntimeError: print('refused')"
    )
    assert (ran.stdout, ran.stderr) == ("refused\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_computes() -> None:
    """Where its parent's threads are gone, and must not be waited for."""
    ran = _python(
        "import os, signal, torch\nfrom ostinato.cells import CELLS\nfrom ostinato.scan import Weights, scan\n"
        "torch.set_num_threads(2)\n"
        "x, w = torch.randn(32, 20, 64), [Weights(torch.randn(64, 64), torch.randn(64, 64))]\n"
        "y, _ = scan(CELLS['elman'], x, w, backend='cpu')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(20)\n"
        "    again, _ = scan(CELLS['elman'], x, w, backend='cpu')\n"
        "    os._exit(0 if (again.numpy() == y.numpy()).all() else 1)\n"
        "print(os.waitpid(child, 0)[1])"
    )
    assert ran.stdout == "0\n", ran.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and limits the memory of a process")
def test_too_little_memory_for_several_threads_is_one_error() -> None:
    """Room for what a scan returns, and not for what its threads work with, twice as much."""
    ran = _python(
        "import resource, torch, ostinato.nn\n"
        "torch.set_num_threads(2)\n"
        "layer, rows = ostinato.nn.IndRNN(1, 1 << 18), 192\n"
        "with torch.no_grad():\n"
        "    first, _ = layer(torch.ones(1, 2, 1))\n"
        "    taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    limit = taken + int(2.5 * rows * (1 << 20))\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))\n"
        "    try: layer(torch.ones(1, rows, 1))\n"
        "    except MemoryError: print('refused')\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    print(torch.equal(layer(torch.ones(1, rows, 1))[0][:, :2], first))"
    )
    assert ran.stdout == "refused\nTrue\n", ran.stderr
