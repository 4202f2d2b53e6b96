"""The ablations of Li et al. 2023 (Table 3, section 5.3) as compositions, and one kernel for all.

Each is a pipeline of the method with a part changed.
"""

from __future__ import annotations

from unblur import Pipeline
from unblur_mcem.presets import uniform, without_warm_up

NOISE = 0.01
TV = 0.05 * 2 * NOISE**2
"""The paper's weight 0.05 of the summed variation, beside squares over 2 sigma², as one beside mean squares."""


def ablations(base: Pipeline) -> dict[str, Pipeline]:
    """The compositions by name.

    Args:
        base: a pipeline of `mcem`. `mle` and `map-tv` change the image's network, and so fit the preset ``paper`` and
            the pipelines of `NETWORKS` only.
    """
    mle = _likelihood(base)
    return {
        "mcem": base,
        "no-warm-up": without_warm_up(base),
        "mle": mle,
        "map-tv": mle.replace(image_prior=[*mle.slots["image_prior"], ("tv", {"weight": TV})]),
        "uniform": uniform(base),
    }


def _likelihood(base: Pipeline) -> Pipeline:
    """Both networks to the greatest likelihood of image and kernels (eq. 5): Adam on both, nothing drawn at random."""
    params = base.slots["estimator"][0].params
    rates = {name: params[name] for name in ("image_rate", "kernel_rate") if name in params}
    return base.replace(estimator=("joint-adam", rates)).set_throughout(
        {"image_prior.noise": 0.0, "image_prior.dropout": 0.0}
    )
