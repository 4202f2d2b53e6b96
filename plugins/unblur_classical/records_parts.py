"""Records of the parts that methods are made of: forward model, terms, pixels, kernels, stopping rules."""

from __future__ import annotations

from unblur.records import Component
from unblur_classical import part_params as params

FORWARD_MODELS = [
    Component(
        name="convolution",
        target="unblur_classical.convolution:SingleConvolution",
        params=params.ConvolutionParams,
        summary="Blur with one kernel for the whole image, all channels and all frames.",
        provides=frozenset({"linear", "stationary"}),
        requires=frozenset({"kernel_prior:single"}),
    ),
    Component(
        name="squared",
        role="misfit",
        target="unblur_classical.misfits:Squared",
        params=params.SquaredParams,
        summary="Mean squared residual: white Gaussian noise.",
    ),
    Component(
        name="huber",
        role="misfit",
        target="unblur_classical.misfits:Huber",
        params=params.HuberParams,
        summary="Squares of small residuals, absolute values of large ones: impulse noise and outliers.",
        source="Huber 1964; Zhuang et al. 2023, eq. 18",
    ),
    Component(
        name="poisson",
        role="misfit",
        target="unblur_classical.misfits:Poisson",
        params=params.PoissonParams,
        summary="Mean Poisson deviance: photon noise, with or without read noise.",
    ),
    Component(
        name="ssim",
        role="misfit",
        target="unblur_classical.misfits:Ssim",
        params=params.SsimParams,
        summary="One minus the structural similarity of prediction and observation.",
        source="Wang et al. 2004",
    ),
    Component(
        name="gamma",
        role="response",
        target="unblur_classical.responses:Gamma",
        params=params.GammaParams,
        summary="Gamma curve of a photograph: blur happens in linear light.",
        source="Chen et al. 2022, section 4.3.1",
    ),
    Component(
        name="saturation",
        role="response",
        target="unblur_classical.responses:Saturation",
        params=params.SaturationParams,
        summary="Sensor that is full at the white level; the latent image may be brighter.",
        source="Whyte, Sivic, Zisserman 2014",
    ),
    Component(
        name="camera",
        role="response",
        target="unblur_classical.responses:Camera",
        params=params.CameraParams,
        summary="Offset and gain of a camera: intensities become photons.",
        provides=frozenset({"linear"}),
    ),
]

IMAGE_PRIORS = [
    Component(
        name="pixels",
        target="unblur_classical.pixels:Pixels",
        params=params.PixelsParams,
        summary="Every latent pixel is an unknown of its own.",
        provides=frozenset({"learns", "pixels"}),
    ),
    Component(
        name="tv",
        role="penalty",
        target="unblur_classical.penalties:TotalVariation",
        params=params.TotalVariationParams,
        summary="Total variation: few edges.",
        source="Rudin, Osher, Fatemi 1992",
    ),
    Component(
        name="l1-l2",
        role="penalty",
        target="unblur_classical.penalties:L1OverL2",
        params=params.L1OverL2Params,
        summary="L1 norm of the gradients over their L2 norm: few edges, whatever the contrast.",
        source="Krishnan, Tay, Fergus 2011; Zhuang et al. 2023, eq. 19",
    ),
    Component(
        name="l2-gradient",
        role="penalty",
        target="unblur_classical.penalties:SquaredGradient",
        params=params.SquaredGradientParams,
        summary="Mean squared gradient: smooth images.",
    ),
]

KERNEL_PRIORS = [
    Component(
        name="known",
        target="unblur_classical.kernels:Known",
        summary="The PSF that was given.",
        provides=frozenset({"fixed", "takes-psf", "single", "grid"}),
    ),
    Component(
        name="free",
        target="unblur_classical.kernels:Free",
        params=params.FreeKernelParams,
        summary="Every weight of the kernel is an unknown of its own.",
        provides=frozenset({"learns", "begins-with-psf", "pixels", "weights", "single", "grid"}),
    ),
    Component(
        name="camera-shake",
        target="unblur_classical.camera_shake:CameraShake",
        params=params.CameraShakeParams,
        summary="The kernels everywhere follow from how long the camera was shifted and turned how far.",
        provides=frozenset({"learns", "begins-with-psf", "weights", "single", "grid"}),
        dims=frozenset({2}),
        source="Whyte, Sivic, Zisserman & Ponce, CVPR 2010; Gupta et al., ECCV 2010; Hirsch et al., ICCV 2011",
    ),
    Component(
        name="gaussian",
        target="unblur_classical.parametric_kernels:Gaussian",
        params=params.GaussianKernelParams,
        summary="Gaussian whose widths are learned.",
        provides=frozenset({"learns", "single"}),
    ),
    Component(
        name="disc",
        target="unblur_classical.parametric_kernels:Disc",
        params=params.DiscKernelParams,
        summary="Disc (a ball in a volume) whose radius is learned: defocus.",
        provides=frozenset({"learns", "single"}),
    ),
    Component(
        name="l2",
        role="penalty",
        target="unblur_classical.penalties:KernelL2",
        params=params.KernelL2Params,
        summary="Squared norm of the kernel: against kernels that are too concentrated.",
        source="Li, Nan, Ji 2022, Algorithm 1",
    ),
    Component(
        name="kernel-tv",
        role="penalty",
        target="unblur_classical.penalties:KernelTotalVariation",
        params=params.KernelTotalVariationParams,
        summary="Total variation of the kernel: no speckle in it.",
    ),
]

STOPPING_RULES = [
    Component(
        name="max-steps",
        target="unblur_classical.stopping:MaxSteps",
        params=params.MaxStepsParams,
        summary="Ends the stage after a number of steps.",
    ),
    Component(
        name="max-seconds",
        target="unblur_classical.stopping:MaxSeconds",
        params=params.MaxSecondsParams,
        summary="Ends the run after a time.",
    ),
    Component(
        name="no-progress",
        target="unblur_classical.stopping:NoProgress",
        params=params.NoProgressParams,
        summary="Ends the stage when the averaged misfit hardly falls any more.",
    ),
    Component(
        name="noise-level",
        target="unblur_classical.stopping:NoiseLevel",
        params=params.NoiseLevelParams,
        summary="Ends the stage when the residual is no larger than the noise.",
        source="Morozov 1966; Chen et al. 2022, sections 3.2 and 4.1",
    ),
    Component(
        name="moving-variance",
        target="unblur_classical.moving_variance:MovingVariance",
        params=params.MovingVarianceParams,
        summary="Ends the stage when the latest images have long not varied so little as they once did.",
        source="Wang et al. 2021; Zhuang et al. 2023, Algorithm 1",
    ),
    Component(
        name="last",
        role="selector",
        target="unblur_classical.stopping:Last",
        summary="Returns the last iterate.",
    ),
    Component(
        name="best-misfit",
        role="selector",
        target="unblur_classical.stopping:BestMisfit",
        summary="Returns the iterate with the smallest misfit.",
    ),
    Component(
        name="smallest-variance",
        role="selector",
        target="unblur_classical.moving_variance:SmallestVariance",
        params=params.SmallestVarianceParams,
        summary="Returns the iterate at which the latest images varied least; the last one if steps are few.",
        source="Wang et al. 2021; Zhuang et al. 2023, Algorithm 1",
    ),
]
