"""How fast Ostinato is beside other frameworks, measured in one run: `python -m benchmarks` from the project's root.

- `cases` says what is compared, and so do `shapes` and `growth`, which run by name; `problems` holds the numbers that
  go in, the same for every framework.
- Every contender computes in a process of its own (`worker`), through `with_torch`, `with_keras` or `with_cells`;
  `loop` runs a cell's equations in PyTorch.
- `contest` lets them take turns: ours, a peer, another peer, ours again. It refuses to time a wrong result.
- `report` and `plot` show what came out; `machine` says where.
"""
