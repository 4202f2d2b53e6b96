"""Records of the estimators that follow gradients, whatever image and kernel are made of."""

from __future__ import annotations

from unblur.records import GRADIENT_NEEDS, GRADIENT_TRAITS, Component
from unblur_classical.gradient_params import AlternatingAdamParams, LbfgsParams

ESTIMATORS: list[Component] = [
    Component(
        name="alternating-adam",
        target="unblur_classical.alternating_adam:AlternatingAdam",
        params=AlternatingAdamParams,
        provides=GRADIENT_TRAITS,
        requires=GRADIENT_NEEDS,
        summary="Adam on the kernel with the image held, then on the image with the kernel held.",
        source="Chan & Wong, IEEE Trans. Image Process. 7 (1998), 370 (alternation); Kingma & Ba, ICLR 2015 (Adam)",
    ),
    Component(
        name="l-bfgs",
        target="unblur_classical.lbfgs:Lbfgs",
        params=LbfgsParams,
        provides=GRADIENT_TRAITS,
        requires=GRADIENT_NEEDS,
        summary="Quasi-Newton steps with a line search on image and kernel at once; no learning rate.",
        source="Liu & Nocedal, Math. Program. 45 (1989), 503; Nocedal & Wright, Numerical Optimization (2006), "
        "algorithms 3.5, 3.6 and 7.5",
    ),
]
