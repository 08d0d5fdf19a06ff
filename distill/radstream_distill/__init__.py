"""Distillation of the radstream student.

The package makes a model folder (`model.onnx`, `tokenizer.json`, `manifest.json`) from labelled reports:
corpus, augmentation, tokenizer, masked-language pre-training, distillation, calibration, export, manifest.
"""
