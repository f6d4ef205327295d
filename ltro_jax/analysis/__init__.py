"""What a finished run says: statistics over seeds and the figures that show them."""

from ltro_jax.process.imports import import_matplotlib

import_matplotlib()  # every module here that draws comes after it
