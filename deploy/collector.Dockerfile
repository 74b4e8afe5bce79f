# The collector, from the wheel that `make wheel` puts into dist/. Build it from the top of the checkout.
FROM python:3.11-slim
COPY dist/tinyprof-*.whl /tmp/
RUN wheel=$(ls /tmp/tinyprof-*.whl) && pip install --no-cache-dir "${wheel}[collector,redis]" && rm "$wheel" \
  && useradd --system --uid 10001 --home-dir /var/lib/tinyprof --create-home tinyprof
USER 10001
VOLUME /var/lib/tinyprof
ENV TINYPROF_STATE_DIR=/var/lib/tinyprof
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["tinyprof"]
CMD ["collector", "run"]
