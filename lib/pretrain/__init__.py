"""Small checkpoints of our own: each is made by one command, and stands in checkpoints/ with the story of its making.

    python -m lib.pretrain reviews_bert
    torchrun --nproc-per-node 2 -m lib.pretrain reviews_bert

Stop it whenever you like: the same command goes on behind the last state that it wrote. Every batch depends on nothing
but the seed and the number of its step, so the end is the same. Of several processes, on one machine or on several,
each computes its part of every batch; only the first one writes.
"""
