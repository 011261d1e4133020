"""Texts classified by recurrent networks, and written by them, with an honest account of what they are worth.

from ostinato.text import TextClassifier

classifier = TextClassifier().fit(texts, labels)
classifier.predict_proba(["a fine film", "a dull one"])
"""

from ..errors import InputError
from .account import Account
from .classifier import TextClassifier
from .folder import load, save
from .language import LanguageModel
from .language_settings import LanguageSettings
from .run import Classification, Plan, execute, make_plan
from .settings import PRESETS, Settings, preset
from .subwords import Subwords
from .table import Table, make_table, read
from .tutorial import TutorialClassifier

__all__ = [
    "PRESETS",
    "Account",
    "Classification",
    "InputError",
    "LanguageModel",
    "LanguageSettings",
    "Plan",
    "Settings",
    "Subwords",
    "Table",
    "TextClassifier",
    "TutorialClassifier",
    "execute",
    "load",
    "make_plan",
    "make_table",
    "preset",
    "read",
    "save",
]
