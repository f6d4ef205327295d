"""HTML of objects in notebooks, small learning curves, and the progress bars of terminals and notebooks."""

from ltro_jax.display.settings import config_html, spec_html

__all__ = ["config_html", "spec_html"]
