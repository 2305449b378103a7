"""The usual door: check the signature, parse, `delay()`, answer."""

import hashlib
import hmac
import os

from flask import Flask, Response, abort, jsonify, request

from benchmarks.usual.tasks import approve

SECRET = os.environ["USUAL_SECRET"]

app = Flask(__name__)


@app.post("/webhook")
def webhook() -> tuple[Response, int]:
    """A triggered notification."""
    sent = request.headers.get("optimove-signature-content", "")
    expected = hmac.new(SECRET.encode(), request.get_data(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, sent):
        abort(401)
    approve.delay(request.get_json())
    return jsonify(accepted=True), 202


@app.get("/healthz")
def healthz() -> Response:
    """Whether it serves."""
    return jsonify(status="ok")
