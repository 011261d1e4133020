"""Echo state networks: a reservoir and a linear readout, fitted in one step as in scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from .. import scan
from ..scan.request import ActivationLike
from .reservoir import EchoState


class EchoStateNetwork:
    """Echo state network: a frozen reservoir and a readout by ridge regression (Jaeger 2001, GMD report 148;
    Lukosevicius 2012, Neural Networks: Tricks of the Trade, 659-686).

    y_t = W_out [1; u_t; x_t],    W_out = the minimum of |W_out [1; u; x] - y|^2 + ridge |W_out|^2

    u is the input, x the reservoir's state. The sum runs over all steps behind the washout, in which the reservoir
    forgets that it began with zeros. Everything is computed in float64. Data are arrays or tensors, one sequence
    (steps, features) or several (sequences, steps, features); predictions are of the kind of the input.

    Args:
        units: of the reservoir.
        washout: how many steps at the start of each sequence `fit` and `score` leave out.
        ridge: the penalty of the readout, at least 0; it acts on all of it.
        spectral_radius: see `EchoState`, as the following.
        density: the share of recurrent weights that are there.
        leak: of the reservoir.
        input_scaling: of the input weights.
        bias_scaling: of the biases.
        activation: of the reservoir.
        seed: equal seeds draw equal reservoirs; None draws with torch's generator.
        backend: None lets the library choose.

    Attributes:
        reservoir_: the `EchoState` layer; `reservoir_.effective_radius` should be below 1.
        readout_: W_out (outputs, 1 + features + units), float64.
    """

    def __init__(
        self,
        units: int = 100,
        *,
        washout: int = 100,
        ridge: float = 1e-8,
        spectral_radius: float = 0.9,
        density: float = 1.0,
        leak: scan.Values = 1.0,
        input_scaling: float = 1.0,
        bias_scaling: float = 0.0,
        activation: ActivationLike = "tanh",
        seed: int | None = None,
        backend: scan.Backend | None = None,
    ) -> None:
        self.units = units
        self.washout = washout
        self.ridge = ridge
        self.spectral_radius = spectral_radius
        self.density = density
        self.leak = leak
        self.input_scaling = input_scaling
        self.bias_scaling = bias_scaling
        self.activation = activation
        self.seed = seed
        self.backend = backend

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> EchoStateNetwork:
        """Change arguments of the constructor.

        Raises:
            ValueError: there is no such argument.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"an echo state network has no parameter {name!r}; it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any) -> EchoStateNetwork:
        """Draw a reservoir and fit the readout.

        Args:
            X: (steps, features) or (sequences, steps, features).
            y: the targets of the same steps, (steps, outputs) or (sequences, steps, outputs); without the last
                dimension there is one output.

        Raises:
            ValueError: shapes do not fit, a sequence is no longer than the washout, or a number is outside its range.
        """
        inputs = _sequences(X)
        targets, single = _targets(y, X)
        if not self.ridge >= 0:
            raise ValueError(f"ridge is {self.ridge}; expected a number of at least 0")
        if not 0 <= self.washout < inputs.shape[1]:
            raise ValueError(f"washout is {self.washout}; expected 0..{inputs.shape[1] - 1}, fewer than the steps of X")
        passed_on = {
            name: value for name, value in self.get_params().items() if name not in ("units", "washout", "ridge")
        }
        self.reservoir_ = EchoState(
            inputs.shape[-1], self.units, batch_first=True, dtype=torch.float64, device="cpu", **passed_on
        )
        self._single, self._as_tensors = single, isinstance(X, Tensor)
        features, state = self._features(inputs)
        rows, wanted = features[:, self.washout :].flatten(0, 1), targets[:, self.washout :].flatten(0, 1)
        # least squares on the rows and the penalty's: the normal equations would square the condition number
        penalty = self.ridge**0.5 * torch.eye(rows.shape[1], dtype=torch.float64, device="cpu")
        stacked = torch.cat([rows, penalty]), torch.cat([wanted, wanted.new_zeros(len(penalty), wanted.shape[1])])
        self.readout_ = torch.linalg.lstsq(*stacked, driver="gelsd").solution.T
        self._end = features[-1, -1], state[:, -1:]
        return self

    def predict(self, X: Any) -> Any:
        """The outputs at every step of X, from a reservoir at rest: (steps, outputs) or (sequences, steps, outputs),
        without the last dimension if `fit` was given targets without it. The first steps still remember the rest.

        Raises:
            ValueError: `fit` has not been called, or the shape does not fit.
        """
        features, _ = self._features(self._fitting(X))
        found = self._shaped(features @ self.readout_.T)
        found = found if _tensor(X).dim() == 3 else found[0]
        return found if isinstance(X, Tensor) else found.numpy()

    def score(self, X: Any, y: Any) -> float:
        """The coefficient of determination R^2 of `predict(X)` behind the washout: 1 - (sum of squared errors) /
        (sum of squared deviations from the mean), averaged over the outputs.

        Raises:
            ValueError: as `predict`; or a sequence is no longer than the washout, or an output is constant.
        """
        inputs = self._fitting(X)
        targets = _targets(y, X)[0][:, self.washout :].flatten(0, 1)
        if not len(targets):
            raise ValueError(f"X has {inputs.shape[1]} steps; expected more than the washout of {self.washout}")
        found = (self._features(inputs)[0] @ self.readout_.T)[:, self.washout :].flatten(0, 1)
        spread = (targets - targets.mean(0)).square().sum(0)
        if not bool((spread > 0).all()):
            raise ValueError("an output in y is constant behind the washout; R^2 is not defined for it")
        return float((1 - (targets - found).square().sum(0) / spread).mean())

    def generate(self, steps: int, start: Any = None) -> Any:
        """Run freely: each output is the next input.

        Args:
            steps: how many outputs to generate.
            start: (steps, features), heard before, from a reservoir at rest; None goes on where the last sequence of
                `fit` ended.

        Returns:
            The output at the last step of `start`, and the following ones: (steps, outputs).

        Raises:
            ValueError: the outputs are not as many as the inputs, or as `predict`.
        """
        self._fitted()
        feature, state = self._end
        if start is not None:
            if _tensor(start).dim() != 2:
                raise ValueError(
                    f"start has {_tensor(start).dim()} dimensions; expected one sequence, (steps, features)"
                )
            features, state = self._features(self._fitting(start))
            feature = features[-1, -1]
        if steps < 1:
            raise ValueError(f"steps is {steps}; expected at least 1")
        if len(self.readout_) != self.reservoir_.input_size:
            raise ValueError(
                f"the network has {len(self.readout_)} outputs for {self.reservoir_.input_size} inputs; to run freely "
                "it needs as many outputs as inputs"
            )
        outputs = [self.readout_ @ feature]
        while len(outputs) < steps:
            features, state = self._features(outputs[-1].view(1, 1, -1), state)
            outputs.append(self.readout_ @ features[0, 0])
        found = self._shaped(torch.stack(outputs))
        tensors = self._as_tensors if start is None else isinstance(start, Tensor)
        return found if tensors else found.numpy()

    @torch.no_grad()
    def _features(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[1; u; x] of every step (sequences, steps, 1 + features + units), and the last state."""
        x, state = self.reservoir_(inputs, state)
        return torch.cat([torch.ones_like(x[..., :1]), inputs, x], -1), state

    def _fitted(self) -> None:
        if not hasattr(self, "readout_"):
            raise ValueError("this network has no readout yet; call fit first")

    def _fitting(self, X: Any) -> Tensor:
        self._fitted()
        inputs, size = _sequences(X), self.reservoir_.input_size
        if inputs.shape[-1] != size:
            raise ValueError(f"X has {inputs.shape[-1]} features; expected {size}, as in fit")
        return inputs

    def _shaped(self, outputs: Tensor) -> Tensor:
        return outputs.squeeze(-1) if self._single else outputs


def _tensor(data: Any) -> Tensor:
    """Numbers in float64, of arrays, tensors, tables and lists."""
    given = torch.as_tensor(data.to_numpy() if hasattr(data, "to_numpy") else data, dtype=torch.float64, device="cpu")
    if not bool(given.isfinite().all()):
        raise ValueError("the data hold values that are not finite; a reservoir would never forget them")
    return given


def _sequences(X: Any) -> Tensor:
    """Inputs as (sequences, steps, features)."""
    given = _tensor(X)
    if given.dim() not in (2, 3) or 0 in given.shape:
        raise ValueError(
            f"X has the shape {tuple(given.shape)}; expected (steps, features) or (sequences, steps, features), none 0"
        )
    return given if given.dim() == 3 else given.unsqueeze(0)


def _targets(y: Any, X: Any) -> tuple[Tensor, bool]:
    """Targets as (sequences, steps, outputs), and whether they came without the last dimension."""
    given, leading = _tensor(y), tuple(_tensor(X).shape[:-1])
    single = tuple(given.shape) == leading
    if not single and (tuple(given.shape[:-1]) != leading or given.shape[-1] == 0):
        raise ValueError(
            f"y has the shape {tuple(given.shape)}; expected {leading}, as X, or one dimension more, of outputs"
        )
    whole = given.unsqueeze(-1) if single else given
    return (whole if whole.dim() == 3 else whole.unsqueeze(0)), single
