"""Every experiment runs at small size, and repeats; the documented tables are those of the documented runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from experiments import document
from experiments.__main__ import conduct, main
from experiments.catalogue import EXPERIMENTS
from experiments.network import CONTENDERS, Network
from experiments.record import Record
from experiments.table import short, spread

DOCUMENTED = document.PAGE.parent / "experiments"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_runs_quickly_and_goes_on_where_it_was(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conduct(name, 1, quick=True, fresh=False, output=tmp_path)
    assert (tmp_path / f"{name}-quick.png").read_bytes().startswith(b"\x89PNG")
    experiment, first = EXPERIMENTS[name], Record(tmp_path / f"{name}-quick.json").runs
    assert [(run.case, run.seed) for run in first] == [(case, 0) for case in experiment.cases(True)]
    text = capsys.readouterr().out
    assert all(table.markdown() in text for table in experiment.tables(first))

    conduct(name, 1, quick=True, fresh=False, output=tmp_path)
    assert "seed 0:" not in capsys.readouterr().err
    assert Record(tmp_path / f"{name}-quick.json").runs == first


@pytest.mark.parametrize("name", ["narma", "mackey_glass"])
def test_run_repeats_and_depends_on_its_seed(name: str) -> None:
    experiment = EXPERIMENTS[name]
    case = experiment.cases(True)[-1]
    assert experiment.measure(case, 1) == experiment.measure(case, 1) != experiment.measure(case, 2)


def test_short_training_repeats() -> None:
    case = {**EXPERIMENTS["adding"].cases(True)[-1], "steps": 20, "every": 10}
    measure = EXPERIMENTS["adding"].measure
    assert measure(case, 1) == measure(case, 1) != measure(case, 2)


def test_narma_needs_what_a_delay_line_does_not_have() -> None:
    runs = {(case["model"], case["units"]): case for case in EXPERIMENTS["narma"].cases(True)}
    measure = EXPERIMENTS["narma"].measure
    line, network = (measure(runs[key], 0)["nmse"] for key in (("delay line", 50), ("echo state network", 100)))
    assert network < line < 1


def test_gru_learns_a_short_adding_problem() -> None:
    case = {**EXPERIMENTS["adding"].cases(True)[-1], "T": 8, "steps": 300}
    found = EXPERIMENTS["adding"].measure(case, 0)
    assert found["curve"][-1][1] < found["constant"] / 5


@pytest.mark.parametrize("name", CONTENDERS)
def test_contender_begins_with_the_biases_of_its_row(name: str) -> None:
    torch.manual_seed(0)
    contender = CONTENDERS[name]
    network = Network(name, 3, 50, 2, 100)
    cell = network.layer.cell
    parts = network.layer.bias_ih_l0.chunk(len(cell.gates))
    biases = dict(zip(cell.gates, parts, strict=True))
    if contender.chrono:
        forget = biases.pop("f")
        assert 0 <= forget.min().item() < 3 < forget.max().item() <= torch.tensor(99.0).log().item()
        if "i" in biases:
            torch.testing.assert_close(biases.pop("i"), -forget)
    if contender.forget_bias is not None:
        sign = -1 if cell.forget.startswith("-") else 1
        torch.testing.assert_close(biases.pop(cell.forget.lstrip("-")), torch.full((50,), sign * contender.forget_bias))
    assert all(not bias.any() for bias in biases.values())
    assert network(torch.randn(4, 5, 3)).shape == (4, 5, 2)
    assert network(torch.randn(4, 5, 3), last=True).shape == (4, 2)


def test_the_page_shows_the_runs_beside_it() -> None:
    page = document.PAGE.read_text()
    assert document.filled(page, DOCUMENTED) == page
    assert [name for name in EXPERIMENTS if f"<!-- from {name}.json -->" not in page] == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_documented_runs_are_those_of_the_command(name: str) -> None:
    experiment, runs = EXPERIMENTS[name], Record(DOCUMENTED / f"{name}.json").runs
    expected = [(case, seed) for case in experiment.cases(False) for seed in range(experiment.seeds)]
    found = [(run.case, run.seed) for run in runs]
    assert len(found) == len(expected)
    assert [one for one in expected if one not in found] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["narma", "mackey_glass"])
def test_first_documented_runs_repeat(name: str) -> None:
    """On another machine the last digits differ, and a network that runs freely multiplies the difference."""
    experiment = EXPERIMENTS[name]
    for run in Record(DOCUMENTED / f"{name}.json").runs:
        if run.seed == 0 and run.case["units"] in (50, 100, 400):
            again = experiment.measure(run.case, 0)
            key = "nmse" if name == "narma" else "nrmse84"
            if again[key] < 0.2:
                assert again[key] == pytest.approx(run.found[key], rel=0.02 if name == "narma" else 4)


@pytest.mark.slow
def test_echo_state_network_reaches_the_published_errors() -> None:
    experiment = EXPERIMENTS["mackey_glass"]
    case = next(case for case in experiment.cases(False) if (case["units"], case["train"]) == (400, 3000))
    errors = sorted(experiment.measure(case, seed)["nrmse84"] for seed in range(5))
    assert errors[0] <= 1e-3 and errors[2] <= 5e-3


@pytest.mark.slow
def test_gates_solve_what_a_plain_network_does_not() -> None:
    experiment = EXPERIMENTS["adding"]
    cases = {case["cell"]: case for case in experiment.cases(False) if case["T"] == 100}
    found = {cell: experiment.measure(cases[cell], 0) for cell in ("tanh RNN", "GRU", "LSTM, chrono")}
    lowest = {cell: min(error for _, error in one["curve"]) for cell, one in found.items()}
    assert lowest["GRU"] < 0.002 and lowest["LSTM, chrono"] < 0.002 and lowest["tanh RNN"] > 0.1


@pytest.mark.slow
def test_clockwork_generates_what_a_plain_network_does_not() -> None:
    experiment = EXPERIMENTS["clockwork"]
    errors: dict[str, list[float]] = {}
    for case in experiment.cases(False):
        if case["model"] in ("clockwork", "tanh RNN") and case["rate"] == 0.003:
            errors[case["model"]] = [experiment.measure(case, seed)["nmse"] for seed in range(2)]
    assert max(errors["clockwork"]) * 1.7 <= min(errors["tanh RNN"])


def test_an_unreadable_number_of_seeds_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["narma", "--seeds", "0"])
    assert "--seeds is 0; expected at least 1" in capsys.readouterr().err


def test_a_record_drops_the_runs_of_another_protocol(tmp_path: Path) -> None:
    path = tmp_path / "narma-quick.json"
    conduct("narma", 1, quick=True, fresh=False, output=tmp_path)
    told = json.loads(path.read_text())
    told["runs"][0]["case"]["washout"] += 1
    path.write_text(json.dumps(told))
    conduct("narma", 1, quick=True, fresh=False, output=tmp_path)
    assert [run.case for run in Record(path).runs if run.case["washout"] != 200] == []


def test_numbers_are_short_and_show_their_spread() -> None:
    assert [short(n) for n in (0, 0.16667, 0.0004567, 12345.6, 2)] == ["0", "0.167", "4.6e-4", "12346", "2"]
    assert spread([]) == "-" and spread([2.0]) == "2" and spread([1.0, 2.0, 6.0]) == "3 (1 to 6)"
