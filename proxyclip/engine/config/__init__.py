"""From option values to one resolved config, and the components it names."""
