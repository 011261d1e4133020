"""Who speaks? Japanese Vowels, of the UEA archive: 270 utterances to learn nine speakers from, 370 to tell.

An utterance is 7 to 29 steps of 12 numbers (Kudo, Toyama & Shimbo 1999, Pattern Recognition Letters 20). Every seed is
a network of its own: other initial weights, and another part of the training file held out to stop on. The test file
is read once a seed, to be scored.

    python -m benchmarks.japanese_vowels [FOLDER] [--seeds 5]

FOLDER holds JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts; without it they are taken out of the wheel of the
package aeon, which pip downloads.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ostinato.sequences import SequenceClassifier, read_pair

NAME = "JapaneseVowels"
FILES = [f"{NAME}_TRAIN.ts", f"{NAME}_TEST.ts"]
#: Where it departs from the default, this was chosen by cross-validation of the training file.
MODEL = SequenceClassifier(input_dropout=0.2)


def fetch(folder: Path) -> None:
    """Put both files into a folder.

    Raises:
        subprocess.CalledProcessError: pip cannot download the wheel.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "aeon"]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    with zipfile.ZipFile(next(folder.glob("aeon-*.whl"))) as wheel:
        for name in FILES:
            (folder / name).write_bytes(wheel.read(f"aeon/datasets/data/{NAME}/{name}"))


def measure(folder: Path, seeds: int) -> list[float]:
    """The accuracy on the test file for each seed."""
    train, test = read_pair(folder / NAME)
    print(f"{len(train)} utterances to train on, {len(test)} to test; {MODEL}")
    found = []
    for seed in range(seeds):
        begin = time.perf_counter()
        model = SequenceClassifier(**{**MODEL.get_params(), "seed": seed}).fit(train.sequences, train.labels)
        found.append(model.score(test.sequences, test.labels))
        seconds = time.perf_counter() - begin
        best, epochs = model.training_.best, len(model.training_.history)
        print(f"seed {seed}: accuracy {found[-1]:.4f}, epoch {best} of {epochs}, {seconds:.1f} s", flush=True)
    print(f"mean {np.mean(found):.4f}, from {min(found):.4f} to {max(found):.4f}")
    return found


def main(arguments: Sequence[str] | None = None) -> list[float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    if chosen.folder is not None:
        return measure(chosen.folder, chosen.seeds)
    with tempfile.TemporaryDirectory() as beside:
        fetch(Path(beside))
        return measure(Path(beside), chosen.seeds)


if __name__ == "__main__":
    main()
