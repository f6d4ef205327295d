# CPU:   docker build -t ltro_jax .
# CUDA:  docker build -t ltro_jax:cuda --build-arg EXTRAS=cuda .      (its libraries come with the wheels; the host needs the driver)
# Run:   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/data/runs" ltro_jax train mpe/simple_spread
FROM python:3.12-slim

# extras of pyproject.toml, e.g. cuda or cuda,mabrax; none = CPU
ARG EXTRAS=

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ltro_jax ./ltro_jax
RUN python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

# any user may run it: what is written goes to /data, runs to a mounted /data/runs
RUN mkdir -m 777 /data
ENV HOME=/data \
    PYTHONUNBUFFERED=1
WORKDIR /data
USER 1000:1000

ENTRYPOINT ["ltro"]
CMD ["--help"]
