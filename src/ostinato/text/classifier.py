"""The classifier of texts: subwords, an embedding, a recurrent encoder, a pooled vector, classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..report.folder import Kind, damaged, read, staged, write
from ..sequences.batches import Batches
from ..sequences.network import Encoder, Network, pooled_size
from ..sequences.ragged import Ragged
from ..sequences.training import Epoch, Training, answers, seed_all, train
from ..sequences.training import Settings as TrainingSettings
from .bag import Bag
from .labels import Labels, check_texts, chosen, classes_of, is_several, keys, share_right, targets
from .pretraining import Pretraining, pretrain
from .settings import Settings
from .split import set_apart
from .subwords import Subwords

MODEL, NGRAMS, TOKENIZER, CONFIG = "model.safetensors", "ngrams.safetensors", "tokenizer.json", "config.json"
RUN = Kind("run", CONFIG, "ostinato.text", 2, "ostinato classify")

#: Texts, and subwords with what fills up the shorter texts, that are predicted at once; does not change the result.
PREDICTED_AT_ONCE, STEPS_AT_ONCE = 256, 100_000


class TextClassifier:
    """Classifies texts, in the manner of scikit-learn: `sklearn.base.clone` and its searches take it.

    from ostinato.text import TextClassifier

    classifier = TextClassifier(units=64, epochs=3).fit(texts, labels)
    classifier.predict_proba(["a fine film", "a dull one"])

    Where labels are tuples, lists or sets, a text may have any number of them.

    Attributes:
        settings: as it was made with.
        classes_: (classes) labels, sorted.
        several_: whether a text may have several labels.
        subwords_: learned from the training texts.
        network_: from packed subwords to (texts, classes) scores.
        bag_: the bag of n-grams of the training texts, or None where it has no say.
        pretraining_: what came of pretraining, or None where there was none.
        training_: what came of training.
        cut_: how many training texts were longer than `longest`.
    """

    _estimator_type = "classifier"
    #: The class of its settings, and the name of the preset that makes it.
    kind: ClassVar[type[Settings]] = Settings
    preset: ClassVar[str] = "default"

    def __init__(self, **settings: Any) -> None:
        """
        Args:
            settings: any of `Settings`.

        Raises:
            InputError: there is no such setting, or it is out of range.
        """
        known = self.kind.__dataclass_fields__
        unknown = [name for name in settings if name not in known]
        if unknown:
            raise InputError(f"there is no setting {unknown[0]!r}; there are {', '.join(known)}")
        self.settings = self.kind(**settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            regressor_tags=None,
            input_tags=InputTags(string=True, two_d_array=False, one_d_array=True),
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All settings."""
        return dict(vars(self.settings))

    def set_params(self, **settings: Any) -> TextClassifier:
        """Change some settings; see `__init__`."""
        self.settings = type(self)(**{**vars(self.settings), **settings}).settings
        return self

    def fit(
        self,
        texts: Sequence[str],
        labels: Labels,
        validation: tuple[Sequence[str], Labels] | None = None,
        *,
        subwords: Subwords | None = None,
        prepare: Callable[[Network, Ragged], None] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> TextClassifier:
        """Train.

        Args:
            texts: (n), none empty.
            labels: (n) one each, or tuples, lists or sets of any number each.
            validation: texts and labels to stop on; None sets `validation_size` of those given apart.
            subwords: a vocabulary that is there already; None learns one from the training texts.
            prepare: called with the untrained network and the training texts, to give it other weights to begin with.
            on_epoch: called after each epoch, those of pretraining first.

        Raises:
            InputError: there is one class only, a text is empty, or training diverged.
        """
        check_texts(texts, labels)
        texts, labels = list(texts), list(labels)  # a series of pandas has indices of its own
        if validation is not None:
            validation = list(validation[0]), list(validation[1])
        else:
            size, seed = self.settings.validation_size, self.settings.seed
            stay, apart = set_apart(keys(labels), size, seed, "--validation-size")
            validation = ([texts[row] for row in apart], [labels[row] for row in apart])
            texts, labels = [texts[row] for row in stay], [labels[row] for row in stay]
        check_texts(*validation)
        settings = self.settings
        self.several_ = is_several(labels)
        self.classes_ = classes_of(labels)
        self.subwords_ = subwords or Subwords.train(texts, settings.vocabulary, settings.subwords, settings.lowercase)
        sequences, self.cut_ = self.subwords_.encode_and_count(texts, settings.longest)
        watched = self.subwords_.encode(validation[0], settings.longest)
        seed_all(settings.seed)
        self.network_ = self.build()
        self.pretraining_ = self._pretrain(texts, on_epoch) if settings.pretrain else None
        if prepare is not None:
            prepare(self.network_, sequences)
        wanted = [targets(some, self.classes_, self.several_) for some in (labels, validation[1])]
        self.training_ = self._train((sequences, wanted[0]), (watched, wanted[1]), on_epoch)
        self.bag_ = None
        if settings.ngrams:
            alone = self.probabilities(watched)
            self.bag_ = Bag.fit((texts, labels), validation, alone, self.classes_, self.several_)
        return self

    def build(self) -> Any:
        """An untrained network from packed subwords to (texts, classes) scores, for the vocabulary and the classes."""
        settings = self.settings
        embedding = torch.nn.Embedding(len(self.subwords_), settings.embedding)
        torch.nn.init.normal_(embedding.weight, std=0.1)
        encoder = Encoder(
            settings.embedding, settings.cell, settings.units, settings.layers, settings.bidirectional, settings.dropout
        )
        head = torch.nn.Linear(pooled_size(encoder, settings.pooling), len(self.classes_))
        return Network(
            embedding, encoder, settings.pooling, head, input_dropout=settings.input_dropout, dropout=settings.dropout
        )

    def _pretrain(self, texts: Sequence[str], on_epoch: Callable[[Epoch], None] | None) -> Training:
        """Read the training texts, whole, as a language."""
        how = Pretraining(epochs=self.settings.pretrain, seed=self.settings.seed)
        return pretrain(self.network_, self.subwords_.encode(texts), how, on_epoch)

    def _train(
        self,
        known: tuple[Ragged, Tensor],
        watched: tuple[Ragged, Tensor],
        on_epoch: Callable[[Epoch], None] | None,
    ) -> Training:
        settings = self.settings
        names = ("learning_rate", "weight_decay", "schedule", "seed")
        epochs, patience = settings.passes(len(known[0]))
        several, one = torch.nn.functional.binary_cross_entropy_with_logits, torch.nn.functional.cross_entropy
        return train(
            self.network_,
            Batches(*known, settings.batch_size, True),
            Batches(*watched, PREDICTED_AT_ONCE, steps=STEPS_AT_ONCE),
            several if self.several_ else one,
            TrainingSettings(epochs, patience, **{name: getattr(settings, name) for name in names}),
            on_epoch,
            metric=share_right,
        )

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """(n, classes): the probability of each class, or of each label where there may be several.

        Raises:
            InputError: a text is empty.
        """
        check_texts(texts)
        texts = list(texts)
        return self.mixed(texts, self.probabilities(self.subwords_.encode(texts, self.settings.longest)))

    def mixed(self, texts: Sequence[str], found: np.ndarray) -> np.ndarray:
        """The network's probabilities of texts, with those of the n-grams where they have a say: `predict_proba`."""
        return found if self.bag_ is None else self.bag_(texts, found)

    def probabilities(self, sequences: Ragged) -> np.ndarray:
        """(n, classes): the network's alone, of texts that are subwords already."""
        found = np.empty((len(sequences), len(self.classes_)))
        for scores, rows in answers(self.network_, Batches(sequences, None, PREDICTED_AT_ONCE, steps=STEPS_AT_ONCE)):
            assert isinstance(scores, Tensor)
            doubles = scores.double()
            found[rows.numpy()] = (doubles.sigmoid() if self.several_ else doubles.softmax(1)).numpy()
        return found

    def predict(self, texts: Sequence[str]) -> Any:
        """(n) labels; or a list of tuples of labels where there may be several: all that are likelier than not."""
        return self.chosen(self.predict_proba(texts))

    def chosen(self, probabilities: np.ndarray) -> Any:
        """What `predict` makes of probabilities."""
        return chosen(probabilities, self.classes_, self.several_)

    def score(self, texts: Sequence[str], labels: Labels, sample_weight: Any = None) -> float:
        """The share of texts whose label, or all of whose labels, are predicted."""
        predicted, true = keys(self.predict(texts)), keys(list(labels))
        right = [one == other for one, other in zip(predicted, true, strict=True)]
        return float(np.average(right, weights=sample_weight))

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write a folder of the weights, the vocabulary and the settings; whole or not at all.

        Raises:
            InputError: the folder exists already, or cannot be written.
        """
        with staged(Path(folder), RUN, overwrite) as whole:
            self.write(whole)

    def write(self, folder: Path, more: dict[str, Any] | None = None) -> None:
        """As `save`, into a folder that exists, with more entries in its `config.json`."""
        self._write_weights(folder)
        self.subwords_.save(folder / TOKENIZER)
        content = {
            "format": RUN.format,
            "version": RUN.version,
            "preset": self.preset,
            "settings": vars(self.settings),
            "classes": self.classes_.tolist(),
            "several": self.several_,
        }
        if self.bag_ is not None:
            self.bag_.save(folder / NGRAMS)
        write(folder / CONFIG, {**content, **(more or {})})

    @classmethod
    def load(cls, folder: str | Path) -> TextClassifier:
        """Read what `save` wrote.

        Raises:
            InputError: the folder is something else, is damaged, or of another version.
        """
        folder = Path(folder)
        config = read(folder, RUN)
        try:
            classifier = cls(**config["settings"])
            classifier.classes_ = np.array(config["classes"])
            classifier.several_ = bool(config["several"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(folder / CONFIG, error, RUN) from None
        try:
            classifier.subwords_ = Subwords.load(folder / TOKENIZER)
        except (OSError, ValueError) as error:
            raise damaged(folder / TOKENIZER, error, RUN) from None
        classifier.network_ = classifier.build()
        classifier._read_weights(folder)
        classifier._read_ngrams(folder / NGRAMS)
        return classifier

    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(weight.numel() for weight in self.network_.parameters())

    def described(self) -> str:
        """The network without its vocabulary, for people."""
        settings = self.settings
        ways = "bidirectional " if settings.bidirectional else ""
        before = f", {settings.pretrain} epochs of language before" if settings.pretrain else ""
        return (
            f"embedding {settings.embedding}, {ways}{settings.cell} {settings.layers}x{settings.units}, "
            f"{settings.pooling} pooling{before}"
        )

    def _write_weights(self, folder: Path) -> None:
        from safetensors.torch import save_file

        save_file({name: one.contiguous() for name, one in self.network_.state_dict().items()}, folder / MODEL)

    def _read_ngrams(self, file: Path) -> None:
        self.bag_ = None
        if self.settings.ngrams:
            try:
                self.bag_ = Bag.load(file, self.several_)
            except Exception as error:  # safetensors raises its own
                raise damaged(file, error, RUN) from None

    def _read_weights(self, folder: Path) -> None:
        from safetensors.torch import load_file

        try:
            self.network_.load_state_dict(load_file(folder / MODEL))
        except Exception as error:  # safetensors and torch raise their own
            raise damaged(folder / MODEL, error, RUN) from None
        self.network_.eval()
