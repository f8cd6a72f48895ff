"""A progress bar in terminals and notebooks when asked for, and nothing at all otherwise."""

import ctypes
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time

import nbclient
import nbformat
import pytest
from semantic_id import _native
from semantic_id._progress import Progress

FIT = """
    import warnings
    import numpy as np
    from semantic_id import RQKMeans
    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float32)
    model = RQKMeans(2, 50, max_iter=30, random_state=0, verbose={verbose}).fit(X)
"""
ENCODE = """
    model.encode(np.tile(X, (20, 1)))
"""


def in_terminal(code):
    """Run code with a terminal as its stderr; return what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    got = []

    def read():
        while True:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            got.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=theirs, timeout=60
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, b""), b"".join(got)
    return b"".join(got).decode()


def test_terminal():
    text = in_terminal(FIT.format(verbose=True) + ENCODE)
    for words in ("fit level 2/2: 100%", "60/60", "encode: 100%", "100k/100k"):
        assert words in text
    assert text.count("\n") <= 2  # each bar stays on its line


def test_the_bar_follows_the_control_block(capsys):
    def call(control, text, size):
        words = (ctypes.c_int64 * 8).from_address(control)
        for level, done in ((0, 0), (0, 3), (1, 2)):  # level 0 ends after 3 of its 10 steps
            words[1], words[3] = level, done
            time.sleep(0.3)
        return 0

    _native._call_long(call, Progress("fit", "iterations", levels=2, steps=10))
    shown = [bar.strip() for bar in re.split(r"[\r\n]", capsys.readouterr().err)]
    seen = [re.search(r"^(.*?): .* (\d+/20) \[", bar).groups() for bar in shown if bar]
    assert list(dict.fromkeys(n for _, n in seen)) == ["0/20", "3/20", "12/20", "20/20"]
    assert {title for title, n in seen if n in ("3/20", "12/20")} == {"fit level 1/2", "fit level 2/2"}


def test_blocks_of_a_converted_input():
    text = in_terminal(FIT.format(verbose=True) + "    model.encode(np.tile(X, (200, 1)).astype(np.float64))\n")
    assert re.search(r"encode: 100%.* 2/2 ", text)


def test_nothing_unless_asked_for(python):
    assert in_terminal(FIT.format(verbose=False) + ENCODE) == ""
    assert python(FIT.format(verbose=False) + ENCODE) == ""


def test_pipe():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIT.format(verbose=1))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout == ""
    assert "fit level 2/2: 100%" in done.stderr


def test_the_bar_goes_away_with_an_error(python):
    text = in_terminal(
        FIT.format(verbose=True)
        + """
    import sys
    X[0] = np.nan
    try:
        model.fit(X)
    except ValueError:
        print("refused", file=sys.stderr)
    """
    )
    assert text.rstrip().endswith("refused")
    assert "100%" not in text.rpartition("\n")[2]


@pytest.fixture
def notebook():
    """A function that runs code in a notebook and returns the outputs of its cell."""

    def run(code):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(textwrap.dedent(code))])
        nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
        return book.cells[0].outputs, book.metadata.get("widgets", {})

    return run


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook(notebook):
    outputs, widgets = notebook(FIT.format(verbose=True))
    assert [o.output_type for o in outputs] == ["display_data"]
    assert "application/vnd.jupyter.widget-view+json" in outputs[0].data
    states = widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    bars = [s["state"] for s in states if s["model_name"] == "FloatProgressModel"]
    assert [(bar["value"], bar["max"], bar["bar_style"]) for bar in bars] == [(60.0, 60.0, "success")]
    labels = [s["state"]["value"] for s in states if s["model_name"] == "HTMLModel"]
    assert "fit level 2/2: 100%" in {label.replace("\N{FIGURE SPACE}", " ") for label in labels}
