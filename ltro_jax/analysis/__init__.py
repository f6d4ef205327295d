"""Statistics over seeds, plots and tables, for several modules."""

from ltro_jax.process.imports import import_matplotlib

import_matplotlib()  # every module here that draws comes after it
