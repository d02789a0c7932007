"""Scores of models on data sets."""
