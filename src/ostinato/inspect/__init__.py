"""What a recurrent network remembers: gradient flow, gates, memory; as numbers, as pictures and as one report.

from ostinato.inspect import look

report = look(model, x, y)
report.sentences
report.save("report")
"""

from ..errors import InputError
from .attribution import Attribution, attribution
from .curves import LearningCurves, learning_curves
from .gates import Activations, Gate, Saturation, activations, gates
from .gradients import GradientFlow, gradient_flow
from .jacobian import JacobianNorms, jacobian_norms
from .memory import Disturbance, Memory, disturbance
from .probe import Probe
from .recording import Recorder, Snapshot
from .report import Report, look
from .spectrum import Spectrum, spectra

__all__ = [
    "Activations",
    "Attribution",
    "Disturbance",
    "Gate",
    "GradientFlow",
    "InputError",
    "JacobianNorms",
    "LearningCurves",
    "Memory",
    "Probe",
    "Recorder",
    "Report",
    "Saturation",
    "Snapshot",
    "Spectrum",
    "activations",
    "attribution",
    "disturbance",
    "gates",
    "gradient_flow",
    "jacobian_norms",
    "learning_curves",
    "look",
    "spectra",
]
