# An agent, from the wheel that `make wheel` puts into dist/. Build it from the top of the checkout.
FROM python:3.11-slim
COPY dist/tinyprof-*.whl /tmp/
RUN wheel=$(ls /tmp/tinyprof-*.whl) && pip install --no-cache-dir "${wheel}[demo]" && rm "$wheel" \
  && useradd --system --uid 10002 --groups dialout --home-dir /var/lib/tinyprof --create-home tinyprof
USER 10002
VOLUME /var/lib/tinyprof
ENV TINYPROF_STATE_DIR=/var/lib/tinyprof
ENTRYPOINT ["tinyprof"]
CMD ["agent", "run", "--config", "/etc/tinyprof/agent.toml"]
