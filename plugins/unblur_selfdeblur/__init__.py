"""SelfDeblur: Ren et al. 2020, Neural Blind Deconvolution Using Deep Priors."""
