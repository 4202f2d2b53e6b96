"""Non-blind deconvolution by spatially-adaptive dropout (Chen et al. 2022), and the untrained peers of its tables."""

from __future__ import annotations

from collections.abc import Iterable

from unblur import GRADIENT_NEEDS, GRADIENT_TRAITS, Calibration, Component, Method, hookimpl
from unblur_sadropout import params
from unblur_sadropout.presets import BP_DIP, DEEP_DECODER, DIP, DIP_TV, SA_DROPOUT

SOURCE = (
    "Chen, Quan, Pang, Ji 2022, Nonblind Image Deconvolution via Leveraging Model Uncertainty in an Untrained Deep "
    "Neural Network"
)
DIP_SOURCE = "Ulyanov, Vedaldi, Lempitsky 2018, Deep Image Prior"
DIKP_SOURCE = "Wang, Wang, Li, Bilen 2019, Image Deconvolution with Deep Image and Kernel Priors"
DECODER_SOURCE = "Heckel, Hand 2019, Deep Decoder: Concise Image Representations from Untrained Networks"
BP_SOURCE = "Zukerman, Tirer, Giryes 2020, BP-DIP: A Backprojection Based Deep Image Prior"


@hookimpl
def unblur_forward_models() -> Iterable[Component]:
    yield Component(
        name="squared-over-noise",
        role="misfit",
        target="unblur_sadropout.noise:SquaredOverNoise",
        params=params.SquaredOverNoiseParams,
        summary="Mean squared residual over the noise's standard deviation: penalties count more under strong noise.",
        source=SOURCE + ", section 4.1 (DIKP)",
    )


@hookimpl
def unblur_image_priors() -> Iterable[Component]:
    yield Component(
        name="dropout-unet",
        target="unblur_sadropout.prior:DropoutPrior",
        params=params.DropoutNetworkParams,
        provides=frozenset({"learns", "random", "fed"}),
        summary="Untrained network with adaptive dropout, fed with the observation whose pixels are randomly replaced.",
        source=SOURCE + ", Table 1, eq. 6-8 and 15",
    )
    yield Component(
        name="deep-decoder",
        target="unblur_sadropout.decoder:DeepDecoderPrior",
        params=params.DeepDecoderParams,
        provides=frozenset({"learns"}),
        summary="Untrained network of few parameters: 1x1 convolutions and upsampling of a small array of noise.",
        source=DECODER_SOURCE,
    )


@hookimpl
def unblur_estimators() -> Iterable[Component]:
    yield Component(
        name="dropout-ensemble",
        target="unblur_sadropout.estimator:DropoutEnsemble",
        params=params.DropoutEnsembleParams,
        provides=GRADIENT_TRAITS | {"standard-deviation"},
        requires=GRADIENT_NEEDS,
        summary="Adam on a random network; the image is the mean of many draws, with their standard deviation.",
        source=SOURCE + ", eq. 5 and 10",
    )
    yield Component(
        name="back-projection",
        target="unblur_sadropout.back_projection:BackProjection",
        params=params.BackProjectionParams,
        provides=frozenset({"uses-response", "uses-image-penalty"}),
        requires=frozenset({"image_prior:learns", "forward_model:linear", "forward_model:stationary"}),
        summary="Adam on the residual after back-projection by the pseudo-inverse of the blur.",
        source=BP_SOURCE,
    )


@hookimpl
def unblur_stopping_rules() -> Iterable[Component]:
    yield Component(
        name="noise-steps",
        target="unblur_sadropout.noise:NoiseSteps",
        params=params.NoiseStepsParams,
        summary="Ends the stage after a number of steps that depends on the noise: early stopping of DIP.",
        source=SOURCE + ", section 4.1",
    )


@hookimpl
def unblur_methods() -> Iterable[Method]:
    yield Method(
        name="sa-dropout",
        summary="Known PSF: the mean of many images from an untrained network with dropout, with their spread.",
        good_for=(
            "Where the PSF is known, the noise is strong and ten minutes may pass: photographs and microscopy, with "
            "Gaussian or Poisson noise, and an uncertainty for every pixel. For a large error of the PSF it fails."
        ),
        presets=SA_DROPOUT,
        reference=SOURCE,
        needs_psf=True,
        calibrations={
            "balanced": Calibration(
                factor=((0.01, 5.06), (0.03, 1.91)),
                within=(0.72, 0.91),
                rank_correlation=0.40,
                steps=(800, 1050),
                measured_on="four grey photographs with drawn camera shake and noise of 1 or 3 %",
                white_level=True,
                noise=(0.007, 0.04),
            )
        },
    )
    yield Method(
        name="dip",
        summary="Known PSF: an untrained network, stopped before it fits the noise.",
        good_for="Comparisons. sa-dropout is the better use of the same time.",
        presets=DIP,
        reference=DIP_SOURCE,
        needs_psf=True,
    )
    yield Method(
        name="dip-tv",
        summary="Known PSF: an untrained network with total variation, whose weight follows the noise.",
        good_for="Comparisons, and images of flat regions. sa-dropout is the better use of the same time.",
        presets=DIP_TV,
        reference=DIKP_SOURCE,
        needs_psf=True,
    )
    yield Method(
        name="deep-decoder",
        summary="Known PSF: an untrained network of few parameters, which on large images cannot fit much noise.",
        good_for="Comparisons, and smooth images. Fine detail is lost.",
        presets=DEEP_DECODER,
        reference=DECODER_SOURCE,
        needs_psf=True,
    )
    yield Method(
        name="bp-dip",
        summary="Known PSF: an untrained network that fits what the blur has weakened as early as the rest.",
        good_for="Comparisons, and little noise, where it needs fewer steps than dip.",
        presets=BP_DIP,
        reference=BP_SOURCE,
        needs_psf=True,
    )
