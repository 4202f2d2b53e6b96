"""Records of the algorithms and PSF models."""

from __future__ import annotations

from dataclasses import replace

from unblur.beginning import kernel_by_edges
from unblur.coarse_to_fine import edge_stages
from unblur.pipeline import Pipeline, Stage
from unblur.records import Component, Method
from unblur_classical.algorithm_params import (
    BlindRichardsonLucyParams,
    HyperLaplacianParams,
    L0GradientParams,
    RichardsonLucyParams,
    UnsupervisedWienerParams,
    WienerParams,
)
from unblur_classical.psf_params import (
    DiscPsfParams,
    GaussianPsfParams,
    MeasuredPsfParams,
    MicroscopePsfParams,
    MotionPsfParams,
)

_FIXED = frozenset({"fixed", "single"})
_NEEDS = frozenset({"image_prior:pixels", "kernel_prior:fixed"})

KERNEL_PRIORS: list[Component] = [
    Component(
        name="gaussian-psf",
        target="unblur_classical.psf:GaussianPsf",
        params=GaussianPsfParams,
        provides=_FIXED,
        summary="A Gaussian of given width along each axis, in pixels or micrometres.",
    ),
    Component(
        name="disc-psf",
        target="unblur_classical.psf:DiscPsf",
        params=DiscPsfParams,
        provides=_FIXED,
        dims=frozenset({2}),
        summary="A disc: a photograph out of focus.",
    ),
    Component(
        name="motion-psf",
        target="unblur_classical.psf:MotionPsf",
        params=MotionPsfParams,
        provides=_FIXED,
        dims=frozenset({2}),
        summary="A straight line: motion at constant speed during the exposure.",
    ),
    Component(
        name="microscope-psf",
        target="unblur_classical.psf:MicroscopePsf",
        params=MicroscopePsfParams,
        provides=_FIXED,
        summary="Widefield or confocal microscope from aperture, wavelength, refractive indices, depth and pixel size.",
        source="Gibson & Lanni, JOSA A 8 (1991), 1601; Li, Xue & Blu, JOSA A 34 (2017), 1029, eq. 1-3",
    ),
    Component(
        name="measured-psf",
        target="unblur_classical.psf:MeasuredPsf",
        params=MeasuredPsfParams,
        provides=_FIXED | {"takes-psf"},
        summary="The PSF that is given, resampled from its own pixel size to the image's.",
    ),
]

ESTIMATORS: list[Component] = [
    Component(
        name="richardson-lucy",
        target="unblur_classical.richardson_lucy:RichardsonLucy",
        params=RichardsonLucyParams,
        provides=frozenset({"counts-photons", "uses-image-penalty", "uses-response"}),
        requires=_NEEDS | {"forward_model:linear"},
        summary="Multiplicative updates for Poisson noise; any penalty one step late; acceleration; any borders.",
        source="Richardson, JOSA 62 (1972), 55; Lucy, AJ 79 (1974), 745; Biggs & Andrews, Appl. Opt. 36 (1997), 1766; "
        "Dey et al., Microsc. Res. Tech. 69 (2006), 260; Bertero & Boccacci, A&A 437 (2005), 369",
    ),
    Component(
        name="wiener",
        target="unblur_classical.wiener:Wiener",
        params=WienerParams,
        provides=frozenset({"uses-response"}),
        requires=_NEEDS | {"forward_model:linear", "forward_model:stationary"},
        summary="Linear filter for white noise and a 1/f² spectrum whose strength follows from the image.",
        source="Wiener 1949; Galatsanos & Katsaggelos, IEEE Trans. Image Process. 1 (1992), 322; "
        "Reeves, ibid. 14 (2005), 1448",
    ),
    Component(
        name="unsupervised-wiener",
        target="unblur_classical.unsupervised_wiener:UnsupervisedWiener",
        params=UnsupervisedWienerParams,
        provides=frozenset({"standard-deviation", "uses-response"}),
        requires=_NEEDS | {"forward_model:linear", "forward_model:stationary"},
        summary="Gibbs sampler of image, noise and smoothness, with a standard deviation for every pixel.",
        source="Orieux, Giovannelli & Rodet, JOSA A 27 (2010), 1593, eq. 17-23",
    ),
    Component(
        name="hyper-laplacian",
        target="unblur_classical.hyper_laplacian:HyperLaplacian",
        params=HyperLaplacianParams,
        provides=frozenset({"uses-response"}),
        requires=_NEEDS | {"forward_model:linear"},
        summary="Sparse gradients, as in photographs: alternates a pixel-wise step and a filter.",
        source="Krishnan & Fergus, NIPS 2009, eq. 2-6",
    ),
    Component(
        name="blind-richardson-lucy",
        target="unblur_classical.blind_richardson_lucy:BlindRichardsonLucy",
        params=BlindRichardsonLucyParams,
        provides=frozenset({"counts-photons", "learns-kernel", "uses-response"}),
        requires=frozenset({"image_prior:pixels", "forward_model:linear", "kernel_prior:pixels"}),
        summary="Richardson-Lucy updates of image and kernel in turn.",
        source="Fish, Brinicombe, Pike & Walker, JOSA A 12 (1995), 58, eq. 4-5",
    ),
    Component(
        name="l0-gradient",
        target="unblur_classical.l0_gradient:L0Gradient",
        params=L0GradientParams,
        provides=frozenset({"learns-kernel", "uses-response"}),
        requires=frozenset({"image_prior:pixels", "forward_model:linear", "kernel_prior:weights"}),
        summary="Finds the kernel by an image of few, sharp edges, within seconds.",
        source="Xu, Zheng & Jia, CVPR 2013, eq. 3; Pan, Hu, Su & Yang, CVPR 2014, eq. 5, 9-13",
    ),
]


def _pipeline(
    estimator: str, steps: int, kernel_prior: str = "known", nonnegative: bool = True, **params: float
) -> Pipeline:
    return Pipeline(
        forward_model="convolution",
        image_prior=("pixels", {} if nonnegative else {"nonnegative": False}),
        kernel_prior=kernel_prior,
        estimator=(estimator, params),
        stages=[Stage(steps=steps)],
    )


_COARSE = 0.5
"""The resolution, relative to the image's, up to which averaging leaves next to no noise."""

_HELD_IN_NOISE = {"estimator.noise_inertia_each": 0.35}
"""Above it noise makes edges of its own, which lead the kernel away from what coarser resolutions have found."""


def _edges(steps: int, weaker: int) -> Pipeline:
    """From coarse to fine by strong edges, and then weaker ones as well; an estimated kernel leaves something over."""
    then = _pipeline("hyper-laplacian", 20, model_error=0.007)
    stages = [
        replace(stage, set={**stage.set, **_HELD_IN_NOISE}) if stage.scale > _COARSE else stage
        for stage in edge_stages(steps, weaker=weaker)
    ]
    return kernel_by_edges(stages).replace(then=then)


METHODS: list[Method] = [
    Method(
        name="richardson-lucy",
        summary="Richardson-Lucy deconvolution with a known PSF, in 2-D and 3-D.",
        good_for="Microscopy and astronomy: photon noise, images that are never negative. More steps sharpen and "
        "amplify noise. For photographs hyper-laplacian is better.",
        reference="Richardson 1972; Lucy 1974; Biggs & Andrews 1997 (fast)",
        needs_psf=True,
        presets={
            "fast": _pipeline("richardson-lucy", 12, acceleration=True),
            "balanced": _pipeline("richardson-lucy", 40),
        },
    ),
    Method(
        name="wiener",
        summary="Wiener filter with a known PSF; its smoothness follows from the image.",
        good_for="A first look within a second, and large volumes. Edges ring a little; hyper-laplacian and "
        "richardson-lucy are better.",
        reference="Wiener 1949; Galatsanos & Katsaggelos 1992",
        needs_psf=True,
        presets={
            "fast": _pipeline("wiener", 5, nonnegative=False),
            "balanced": _pipeline("wiener", 20, nonnegative=False),
        },
    ),
    Method(
        name="unsupervised-wiener",
        summary="Wiener filter whose parameters are sampled, with an uncertainty for every pixel.",
        good_for="When the noise level is not known and error bars are wanted. Smooth images; edges ring a little.",
        reference="Orieux, Giovannelli & Rodet 2010",
        needs_psf=True,
        presets={
            "fast": _pipeline("unsupervised-wiener", 40, nonnegative=False),
            "balanced": _pipeline("unsupervised-wiener", 120, nonnegative=False),
        },
    ),
    Method(
        name="hyper-laplacian",
        summary="Fast deconvolution of photographs with a known kernel.",
        good_for="Photographs and whatever has flat regions and sharp edges. For few photons use richardson-lucy.",
        reference="Krishnan & Fergus 2009",
        needs_psf=True,
        presets={
            # A measured kernel is never exact; more steps come closer to the most probable image, a smoother one.
            "fast": _pipeline("hyper-laplacian", 6, model_error=0.003),
            "balanced": _pipeline("hyper-laplacian", 10, model_error=0.003),
            "paper": _pipeline("hyper-laplacian", 6, beta_last=(2 * 2**0.5) ** 5),
        },
    ),
    Method(
        name="l0-gradient",
        summary="Finds the kernel by sharp edges, from coarse to fine, and restores with hyper-laplacian.",
        good_for="Photographs with camera shake, in seconds. Needs edges and a fair bound of the kernel's size; noise "
        "and saturated lights lead it astray.",
        reference="Xu, Zheng & Jia 2013; Pan et al. 2014",
        blind=True,
        presets={
            "fast": _edges(5, 4),
            "balanced": _edges(10, 8),
        },
    ),
    Method(
        name="blind-richardson-lucy",
        summary="Richardson-Lucy deconvolution that finds the PSF as well.",
        good_for="Small, smooth PSFs on stars, beads and cells. For motion blur use a method with a network.",
        reference="Fish et al. 1995",
        blind=True,
        presets={"balanced": _pipeline("blind-richardson-lucy", 20, "free")},
    ),
]
