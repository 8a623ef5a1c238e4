"""One YAML file becomes a guarded, observable trading node."""
