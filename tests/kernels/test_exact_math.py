"""Our own exp, log, sin, cos, tanh and pow against extended precision, and known bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nextoken import _native

native: Any = _native.kernels
Array = npt.NDArray[Any]
rng = np.random.default_rng(5)

extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="this platform's long double is no wider than double"
)


def units_off(got: Array, exact: Array) -> float:
    """Largest error in units of the last place of a double."""
    return float(
        np.max(np.abs(got.astype(np.longdouble) - exact) / np.spacing(np.abs(exact.astype(np.float64))))
    )


@extended
@pytest.mark.parametrize(
    ("name", "x", "bound"),
    [
        ("exp", rng.uniform(-700, 700, 20000), 1.0),
        ("exp", rng.uniform(-1, 1, 20000), 1.0),
        ("log", 10 ** rng.uniform(-307, 307, 20000), 1.0),
        ("log", rng.uniform(0.5, 2, 20000), 1.0),
        ("log", 1 + rng.uniform(-1e-6, 1e-6, 20000), 1.0),
        ("sin", rng.uniform(-100, 100, 20000), 1.0),
        ("cos", rng.uniform(-100, 100, 20000), 1.0),
        ("tanh", rng.uniform(-20, 20, 20000), 2.5),
        ("tanh", rng.uniform(-0.5, 0.5, 20000), 2.5),
        ("tanh", 10 ** rng.uniform(-20, 0, 20000), 2.5),
    ],
)
def test_is_within_its_bound(name: str, x: Array, bound: float) -> None:
    exact = getattr(np, name)(x.astype(np.longdouble))
    assert units_off(getattr(native, "exact_" + name)(x), exact) <= bound


@extended
def test_pow_is_within_its_bound() -> None:
    x, y = 10 ** rng.uniform(-5, 5, 5000), rng.uniform(-10, 10, 5000)
    exact = x.astype(np.longdouble) ** y.astype(np.longdouble)
    assert units_off(native.exact_pow(x, y), exact) <= 0.6


# mpmath 1.3, 200 bits: angles as large as positions go, where a short reduction has no digit left
@pytest.mark.parametrize(
    ("x", "sin", "cos"),
    [
        (2147483647.0, "-0x1.7328434159860p-1", "-0x1.60af33efcd1b2p-1"),
        (2147483646.9998, "-0x1.7316334bf9efep-1", "-0x1.60c2351d3b3dap-1"),
        (1570796326.7948966, "-0x1.1d32adda8fc30p-26", "0x1.fffffffffffffp-1"),
        (3362451664.1057534, "0x1.ffffffffffeafp-1", "0x1.2580c3c20a680p-22"),
        (35184372088831.0, "-0x1.9399de16530b7p-3", "0x1.f5f59494ee482p-1"),
        (1.5707963267948966, "0x1.0000000000000p+0", "0x1.1a62633145c07p-54"),
        (4e-05, "0x1.4f8b588cb6407p-15", "0x1.fffffff920c81p-1"),
    ],
)
def test_large_angles(x: float, sin: str, cos: str) -> None:
    assert abs(native.exact_sin(x) / float.fromhex(sin) - 1) <= 2.0**-52
    assert abs(native.exact_cos(x) / float.fromhex(cos) - 1) <= 2.0**-52


def test_special_values() -> None:
    inf, nan = np.inf, np.nan
    assert list(native.exact_exp(np.array([-inf, -746.0, 0.0, 710.0, inf]))) == [0, 0, 1, inf, inf]
    assert list(native.exact_log(np.array([0.0, 1.0, inf]))) == [-inf, 0, inf]
    assert list(native.exact_tanh(np.array([-inf, 0.0, 40.0]))) == [-1, 0, 1]
    assert np.isnan(
        [native.exact_log(-1.0), native.exact_sin(inf), native.exact_cos(1e300), native.exact_exp(nan)]
    ).all()
    assert np.signbit([native.exact_sin(-0.0), native.exact_tanh(-0.0)]).all()


def test_pow_of_special_values_is_that_of_ieee_754() -> None:
    values = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.25, 3.0, -3.0, np.inf, -np.inf, np.nan, 1e300])
    x, y = np.meshgrid(values, values)
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    got = native.exact_pow(x, y)
    exact = np.isnan(expected) | np.isinf(expected) | (expected == 0) | (np.abs(expected) == 1)
    assert np.array_equal(got[exact], expected[exact], equal_nan=True)
    assert np.allclose(got, expected, rtol=2.0**-51, atol=0, equal_nan=True)
    numbers = ~np.isnan(expected)
    assert np.array_equal(np.signbit(got[numbers]), np.signbit(expected[numbers]))


def test_bits_do_not_move() -> None:
    """A compiler that fuses or reorders would change these; written by this very code, checked against mpmath above."""
    x = np.linspace(-3, 3, 1001)
    parts = [
        native.exact_exp(x),
        native.exact_log(np.abs(x) + 0.1),
        native.exact_sin(x * 1e6),
        native.exact_cos(x * 1e6),
    ]
    parts += [native.exact_tanh(x), native.exact_pow(np.abs(x) + 0.1, x)]
    bits = np.concatenate(parts).view(np.uint64)
    assert (
        int(np.bitwise_xor.reduce(bits * np.arange(1, 2 * len(bits), 2, dtype=np.uint64)))
        == 8285387314997567509
    )
