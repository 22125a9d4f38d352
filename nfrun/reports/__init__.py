"""Folds over events: what people and programs are shown of a run."""
