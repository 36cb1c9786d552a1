# One image for web, worker, beat and the one-shot `prepare`; docker-compose.yml gives each its command.
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin dailies \
    && install -d -o dailies -g dailies -m 0750 /data

WORKDIR /app
COPY requirements/runtime.txt requirements/runtime.txt
RUN pip install --require-hashes -r requirements/runtime.txt
COPY . .
RUN python -m compileall -q generations simulator veevid_site

# Everything that is kept lies in /data: clips, uploads, static files. Secrets come through the environment alone.
ENV DATA_DIR=/data PORT=8000
VOLUME /data
USER dailies
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s CMD ["python", "veevid_site/probe.py", "web"]
CMD ["gunicorn", "-c", "gunicorn.conf.py", "-b", "0.0.0.0:8000", "veevid_site.wsgi"]
