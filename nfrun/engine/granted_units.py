"""Tells processes which numbered units of the budgets their attempt holds, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping

_GPU, _CUDA = "gpu", "CUDA_VISIBLE_DEVICES"


def unit_variables(granted: Mapping[str, tuple[int, ...]] | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `NFRUN_<BUDGET>` for each budget of which units are held, such as `0,1`; of `gpu` also what CUDA reads.

    If `environ`, that of the run, shows CUDA some devices only, the units are numbers in that list.
    """
    variables = {f"NFRUN_{name.upper()}": ",".join(map(str, units)) for name, units in (granted or {}).items()}
    if granted and _GPU in granted:
        visible = [device.strip() for device in environ.get(_CUDA, "").split(",") if device.strip()]
        devices = [visible[unit] if unit < len(visible) else str(unit) for unit in granted[_GPU]]
        variables[_CUDA] = ",".join(devices)
    return variables
