"""The random weights of an echo state network, which are drawn once and never trained."""

from __future__ import annotations

import torch
from torch import Tensor


def reservoir(
    units: int,
    input_size: int,
    spectral_radius: float = 0.9,
    density: float = 1.0,
    input_scaling: float = 1.0,
    seed: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Input weights and recurrent weights of a reservoir (Jaeger 2001, GMD Report 148).

    Every recurrent weight is there with probability `density` and then uniform in -1..1; the whole is scaled afterwards
    so that its largest eigenvalue has the modulus `spectral_radius`. In a leaky network it is the radius of
    (1 - leak) I + leak U that decides over echo states, not this one (sec. 5 there). A bias is the weight of an input
    that is always 1: ask for one input more, and take its column.

    Args:
        units: H.
        input_size: D.
        spectral_radius: > 0.
        density: within 0..1, without 0.
        input_scaling: the bound of the input weights, which are uniform in -input_scaling..input_scaling; >= 0.
        seed: equal seeds draw equal weights; None draws with torch's own generator.

    Returns:
        W (H, D) and U (H, H), float64.

    Raises:
        ValueError: a number is outside its range, or the recurrent weights that were drawn hold no cycle, so that their
            spectral radius is 0 whatever their scale.
    """
    for name, number, fits, rule in (
        ("units", units, units >= 1, "at least 1"),
        ("input_size", input_size, input_size >= 0, "at least 0"),
        ("spectral_radius", spectral_radius, 0 < spectral_radius < float("inf"), "a number above 0"),
        ("density", density, 0 < density <= 1, "above 0 and at most 1"),
        ("input_scaling", input_scaling, 0 <= input_scaling < float("inf"), "a number of at least 0"),
    ):
        if not fits:
            raise ValueError(f"{name} is {number}; expected {rule}")
    generator = None if seed is None else torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64, device="cpu") - 1

    W = input_scaling * uniform(units, input_size)
    U = uniform(units, units)
    U *= torch.rand(units, units, generator=generator, dtype=torch.float64, device="cpu") < density
    if not _has_cycle(U != 0):
        raise ValueError(
            f"a reservoir of {units} units with density {density} came out without a cycle, so its spectral radius is "
            f"0 and cannot be scaled to {spectral_radius}; raise density or units, or take another seed"
        )
    return W, U * (spectral_radius / torch.linalg.eigvals(U).abs().max())


def _has_cycle(reads: Tensor) -> bool:
    """Whether a signal can come back to its unit. The eigenvalues of a matrix without cycle, all 0, are computed as
    numbers far above the rounding error, so they cannot tell."""
    alive = torch.ones(len(reads), dtype=torch.bool, device="cpu")
    while True:
        fed = alive & reads[:, alive].any(1)
        if torch.equal(fed, alive):
            return bool(alive.any())
        alive = fed
