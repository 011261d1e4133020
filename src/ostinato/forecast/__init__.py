"""Forecasts of a series by a recurrent network, with an honest account of what they are worth.

from ostinato.forecast import forecast

result = forecast("prices.csv", "Open")
print(result.verdict)
result.rows          # date, actual, prediction, naive
"""

from ..errors import InputError
from .folder import Saved, load, save
from .metrics import Skill
from .plan import Plan, Split, make_plan
from .prediction import predict
from .run import Forecast, execute, forecast
from .score import LagCheck, Score
from .settings import PRESETS, Settings, preset
from .table import Table, make_table, read_csv, read_demo

__all__ = [
    "PRESETS",
    "Forecast",
    "InputError",
    "LagCheck",
    "Plan",
    "Saved",
    "Score",
    "Settings",
    "Skill",
    "Split",
    "Table",
    "execute",
    "forecast",
    "load",
    "make_plan",
    "make_table",
    "predict",
    "preset",
    "read_csv",
    "read_demo",
    "save",
]
