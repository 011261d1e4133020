from typing import Any

class Sequence:
    def __init__(self, data: int, step: int, row: int, packed: bool) -> None: ...

class Matrix:
    def __init__(self, data: int, row: int, column: int) -> None: ...

class Call:
    cell: int
    phi: int
    sigma: int
    threads: int
    is_double: bool
    reverse: bool
    keep: bool
    repeat: bool
    add_to_x_gradient: bool
    steps: int
    batch: int
    input_size: int
    units: int
    order: int
    alive: int
    tokens: int
    mask: int
    mask_row: int
    mask_step: int
    x: Sequence
    y: Sequence
    blocks: list[list[int]]
    bias: list[int]
    parameters: list[int]
    slots: int
    y_gradient: Sequence
    x_gradient: Sequence
    bias_gradient: list[int]
    parameters_gradient: list[int]
    def set_weights(self, matrix: int, value: Matrix) -> None: ...
    def set_weights_gradient(self, matrix: int, value: Matrix) -> None: ...
    def set_initial(self, state: int, value: Matrix) -> None: ...
    def set_final(self, state: int, value: Matrix) -> None: ...
    def set_initial_gradient(self, state: int, value: Matrix) -> None: ...
    def set_final_gradient(self, state: int, value: Matrix) -> None: ...

def forward(call: Call) -> None: ...
def backward(call: Call) -> None: ...
def lanes(is_double: bool) -> int: ...
def cells() -> list[dict[str, Any]]: ...
def instruction_set() -> str: ...
def instruction_sets() -> list[str]: ...
def use_instruction_set(name: str) -> None: ...
