# Serves a model that is mounted at /model. For GPUs take an image with CUDA as base, and run with --gpus all.
FROM python:3.12-slim

WORKDIR /app
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[serve]" \
    && useradd --create-home user
USER user
EXPOSE 8000
# Others reach the service: set TEXTGENOME_API_KEY, or publish the port to this machine alone.
ENTRYPOINT ["textgenome", "serve", "/model", "--host", "0.0.0.0"]
CMD ["--port", "8000"]
