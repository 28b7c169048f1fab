import gin
import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
