"""Network architectures, training on simulation, ONNX export and the model registry."""
