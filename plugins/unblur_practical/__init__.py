"""Practical blind image deblurring: Zhuang et al. 2023, unknown kernel size and substantial noise."""
