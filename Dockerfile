# CPU:   docker build -t ltro_jax .
# CUDA:  docker build -t ltro_jax:cuda --build-arg EXTRAS=cuda .      (the wheels include the CUDA libraries; the host needs the driver)
# Run:   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/data/runs" ltro_jax train mpe/simple_spread
FROM python:3.12-slim

# Extras from pyproject.toml, for example cuda or cuda,mabrax; empty = CPU
ARG EXTRAS=

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ltro_jax ./ltro_jax
RUN python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

# Any user can run the image: all files are written to /data, runs to a mounted /data/runs
RUN mkdir -m 777 /data
ENV HOME=/data \
    PYTHONUNBUFFERED=1
WORKDIR /data
USER 1000:1000

ENTRYPOINT ["ltro"]
CMD ["--help"]
