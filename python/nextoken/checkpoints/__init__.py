"""Where weights come from: model files, and the catalogue of models that have a name."""
