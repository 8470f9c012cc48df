# JupyterLab with the course in it, for people who have Docker and no Python.
FROM python:3.11-slim

RUN useradd --create-home lab && mkdir /work && chown lab /work
WORKDIR /migration-lab
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE docker-compose.yml ./
COPY etc etc
COPY src src
COPY notebooks notebooks
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e src/migration_xray -e . \
 && python -c "from migration_lab.jupyter import settle; settle()"

USER lab
# LAB_ADDRESS is where a browser outside the container finds JupyterLab. `lab start` prints it, with little log after it.
ENV LAB_WORK=/work LAB_ADDRESS=http://localhost:8888
EXPOSE 8888
CMD ["lab", "start", "--no-browser", "--ip=0.0.0.0", "--port=8888", "--log-level=WARN"]
