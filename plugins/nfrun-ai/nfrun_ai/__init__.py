"""A kind of node for nfrun that asks language models."""
