"""What is the context on the right worth to a masked model (chapter 06)? Two arms of `masked_lm`, which it runs."""

from lib.experiments import masked_lm

ARMS = ("both sides", "left only")
run = masked_lm.run
