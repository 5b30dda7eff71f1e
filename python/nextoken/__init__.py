"""Runs trained Transformer language models: a function that predicts the next token, called in a loop."""
