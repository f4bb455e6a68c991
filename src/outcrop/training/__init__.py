"""Fine-tuning: reading and checking data, training an adapter, telling what it has learnt.

A job trains in a process of its own (``training.process``), which alone imports PyTorch. The
gateway imports ``spec`` and ``runner`` only.
"""
