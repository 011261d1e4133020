"""A run on disk: the classifier and what it was worth. All of it data; none is code to run.

model.safetensors     the network's weights
ngrams.safetensors    those of the bag of n-grams, where it has a say
tokenizer.json        its vocabulary
config.json           settings, classes, columns
metrics.json          scores, verdict, confusion, calibration, training history
predictions.csv       the test texts with what was predicted
report.html           one page of all that; confusion, reliability and training as PNG, light and dark
"""

from __future__ import annotations

from pathlib import Path

from ..report.folder import read
from .account import BAG, BOTH
from .classifier import RUN, TextClassifier
from .made import ABOUT
from .report import PREDICTIONS, Story, shown, write_story
from .run import Classification, Plan
from .tutorial import TutorialClassifier


def load(folder: str | Path) -> TextClassifier:
    """The classifier of a run, of whatever preset.

    Raises:
        InputError: the folder is none of a run of texts, is damaged, or of another version.
    """
    preset = read(Path(folder), RUN).get("preset")
    return (TutorialClassifier if preset == TutorialClassifier.preset else TextClassifier).load(folder)


def save(result: Classification, folder: Path) -> None:
    """Write a run into an existing folder."""
    plan = result.plan
    more = {"source": plan.train.source, "text": plan.train.text, "label": plan.train.label}
    result.classifier.write(folder, more)
    result.predictions.to_csv(folder / PREDICTIONS, index=False, float_format="%.6g")
    write_story(
        Story(
            f"{Path(plan.train.source).name}: {plan.train.label} from {plan.train.text}",
            sentences(result),
            result.account,
            result.classifier.training_,
            lambda row: shown(plan.test.texts[row]),
            "texts",
        ),
        folder,
    )


def sentences(result: Classification) -> list[str]:
    """What was done, for people."""
    plan, classifier = result.plan, result.classifier
    told = [f"{ABOUT[0].upper()}{ABOUT[1:]}."] if plan.made else []
    told.append(f"{parts(plan)}.")
    told.append(f"The network: {network(classifier)}.")
    told.append(
        f"The {BAG}: logistic regression on {len(result.bag.known):,} words and pairs of neighbours, weighed by their "
        f"log-count ratios; strength C = {result.bag.strength:g} chosen on the validation texts, fitted on training "
        "and validation texts."
    )
    if classifier.bag_ is not None:
        mixture = classifier.bag_.mixture
        told.append(
            f"The {BOTH}: their probabilities to the powers {mixture.first:.2f} and {mixture.second:.2f}, as the "
            "validation texts chose them, multiplied."
        )
    return told + remarks(result)


def network(classifier: TextClassifier) -> str:
    """The network in a line."""
    settings, training = classifier.settings, classifier.training_
    passes = len(training.history)
    return (
        f"{len(classifier.subwords_):,} subwords ({settings.subwords}), {classifier.described()}; "
        f"{classifier.parameters():,} parameters; {training.seconds:.1f} s for {passes} epoch{'s' * (passes != 1)}, "
        f"weights of epoch {training.best}"
    )


def parts(plan: Plan) -> str:
    """How the texts were split."""
    counts = f"train {len(plan.train):,} | validation {len(plan.validation):,} | test {len(plan.test):,}"
    apart = plan.test.source != plan.train.source
    how = f", test from {plan.test.source}" if apart else ", each with its share of every class"
    return f"{counts} texts{how}; the vocabulary is learned from the training texts alone"


def remarks(result: Classification) -> list[str]:
    """What to be wary of."""
    plan, classifier = result.plan, result.classifier
    told = []
    cut = classifier.cut_ + result.cut
    if cut:
        longest = plan.settings.longest
        told.append(
            f"{cut:,} of {len(plan.train) + len(plan.test):,} training and test texts are longer than {longest} "
            f"subwords: their first and last {longest // 2} were read."
        )
    if plan.repeated:
        told.append(f"{plan.repeated:,} of {len(plan.test):,} test texts stand among the training texts as well.")
    return told
