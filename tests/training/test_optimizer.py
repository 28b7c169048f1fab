import gin
import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, param_axes, param_shapes
from codellama_jax.training import Phase
from codellama_jax.training.optimizer import learning_rate, make_optimizer


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


def phase(**changes):
    return Phase(**{"name": "code", "mixture": "code_llama", "steps": 1000, **changes})


def test_schedule_warms_up_to_the_peak_and_falls_to_a_thirtieth():
    rate = learning_rate(phase(peak_learning_rate=3e-4, warmup_steps=100))
    assert rate(0) == 0
    np.testing.assert_allclose(rate(50), 1.5e-4, rtol=1e-6)
    np.testing.assert_allclose(rate(100), 3e-4, rtol=1e-6)
    np.testing.assert_allclose(rate(550), (3e-4 + 1e-5) / 2, rtol=1e-5)
    np.testing.assert_allclose(rate(1000), 1e-5, rtol=1e-5)
    np.testing.assert_allclose(rate(5000), 1e-5, rtol=1e-5)
    values = np.array([rate(step) for step in range(0, 1001, 20)])
    assert np.all(np.diff(values[:6]) > 0) and np.all(np.diff(values[5:]) < 0)


def test_final_fraction_is_the_phases():
    rate = learning_rate(phase(peak_learning_rate=1e-3, warmup_steps=10, final_fraction=0.5))
    np.testing.assert_allclose(rate(1000), 5e-4, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_phase_shorter_than_its_warm_up(steps):
    rate = learning_rate(phase(steps=steps, warmup_steps=1000, peak_learning_rate=3e-4))
    values = [float(rate(step)) for step in range(steps + 1)]
    assert np.isfinite(values).all() and max(values) == pytest.approx(3e-4)
    assert values[-1] == pytest.approx(1e-5, rel=1e-5)


CONFIG = LlamaConfig(
    vocab_size=16, dim=8, num_layers=2, num_heads=2, num_kv_heads=1, ffn_dim=12, dtype="float32"
)


def updates(gradient: float, **settings):
    """What the first step takes, times the rate, from parameters that are all one."""
    optimizer = make_optimizer(param_axes(CONFIG), **settings)
    params = jax.tree.map(lambda shape: jnp.ones(shape.shape), param_shapes(CONFIG))
    gradients = jax.tree.map(lambda leaf: jnp.full_like(leaf, gradient), params)
    found = jax.jit(lambda g, p: optimizer.update(g, optimizer.init(p), p)[0])(gradients, params)
    flat = jax.tree_util.tree_flatten_with_path(found)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def test_matrices_decay_and_norms_do_not():
    found = updates(0.0, weight_decay=0.3)
    norms = {name for name in found if "norm" in name}
    assert norms == {
        "norm/weight",
        "layers/attention_norm/weight",
        "layers/mlp_norm/weight",
    }
    for name, update in found.items():
        np.testing.assert_allclose(update, 0 if name in norms else 0.3, atol=1e-7)


def test_first_step_is_the_sign_whatever_the_gradients_size():
    """Adam divides the first gradient by its own size, clipped or not."""
    for gradient in (1.0, -100.0):
        for update in updates(gradient, weight_decay=0.0, eps=1e-12).values():
            np.testing.assert_allclose(update, np.sign(gradient), rtol=1e-4)


def test_gradients_are_clipped_by_their_global_norm():
    size = CONFIG.num_parameters
    clipped = updates(1.0, weight_decay=0.0, eps=1.0, clip_norm=1.0)
    each = size**-0.5
    for update in clipped.values():
        np.testing.assert_allclose(update, each / (each + 1), rtol=1e-4)
    left = updates(0.5 * each, weight_decay=0.0, eps=1.0, clip_norm=1.0)
    for update in left.values():
        np.testing.assert_allclose(update, 0.5 * each / (0.5 * each + 1), rtol=1e-4)


def test_settings_come_from_gin():
    gin.bind_parameter("make_optimizer.weight_decay", 0.7)
    found = updates(0.0)
    np.testing.assert_allclose(found["embedding"], 0.7, rtol=1e-5)


@pytest.mark.parametrize("param_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("first", ["float32", "bfloat16"])
def test_dtypes_of_the_moments_are_kept(param_dtype, first):
    optimizer = make_optimizer(param_axes(CONFIG), first_moment_dtype=first)
    params = jax.tree.map(lambda shape: jnp.ones(shape.shape, param_dtype), param_shapes(CONFIG))
    gradients = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    state = optimizer.init(params)
    for found in (state, optimizer.update(gradients, state, params)[1]):
        adam = found[1]
        assert {leaf.dtype for leaf in jax.tree.leaves(adam.mu)} == {jnp.dtype(first)}
        assert {leaf.dtype for leaf in jax.tree.leaves(adam.nu)} == {jnp.dtype("float32")}


def test_a_first_moment_in_bfloat16_takes_the_steps_of_adam():
    """Against the formula in NumPy, in float64, to the precision of the moment."""
    optimizer = make_optimizer(
        param_axes(CONFIG), weight_decay=0.0, clip_norm=1e9, eps=1e-8, first_moment_dtype="bfloat16"
    )
    params = jax.tree.map(lambda shape: jnp.ones(shape.shape), param_shapes(CONFIG))
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    mu = nu = np.float64(0)
    for step, gradient in enumerate([1.0, 0.5, -2.0, 0.25, 3.0], start=1):
        gradients = jax.tree.map(lambda leaf, g=gradient: jnp.full_like(leaf, g), params)
        found, state = update(gradients, state, params)
        mu, nu = 0.9 * mu + 0.1 * gradient, 0.95 * nu + 0.05 * gradient**2
        expected = (mu / (1 - 0.9**step)) / np.sqrt(nu / (1 - 0.95**step))
        for leaf in jax.tree.leaves(found):
            np.testing.assert_allclose(leaf, expected, rtol=0, atol=2e-2)


def test_a_moment_of_another_dtype():
    with pytest.raises(UserError, match="first_moment_dtype = 'float16': choose"):
        make_optimizer(param_axes(CONFIG), first_moment_dtype="float16")
