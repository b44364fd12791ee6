#!/usr/bin/env python3
"""A worker of a `queue` agent: fetches jobs, does them, sends what came of them. See docs/registry.md."""
import json, os, sys, threading, time, urllib.request, uuid

URL = os.environ.get("TUTTI_URL", "http://127.0.0.1:8000")
ME = {"agent_id": sys.argv[1] if len(sys.argv) > 1 else "echo", "instance_id": f"py-{uuid.uuid4().hex[:8]}"}


def post(path, body):
    headers = {"content-type": "application/json"}
    if "TUTTI_KEY" in os.environ:
        headers["authorization"] = f"Bearer {os.environ['TUTTI_KEY']}"
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")


def work(job):
    """Yours: `input` is what is asked, `messages` what was said before."""
    return {"heard": job["input"]}


def beat():
    while True:  # While a job takes long, this keeps it.
        try:
            post("/orchestrator/heartbeat", ME)
        except OSError as error:
            print(error, file=sys.stderr)
        time.sleep(30)


threading.Thread(target=beat, daemon=True).start()
print(f"{ME['instance_id']} works for {ME['agent_id']}", flush=True)
while True:
    try:
        if job := post("/orchestrator/jobs/claim?wait=30", ME):
            try:
                result = {"output": work(job)}
            except Exception as error:
                result = {"error": {"message": str(error), "retry": True}}
            post(f"/orchestrator/jobs/{job['job_id']}/result", {"claim": job["claim"], **result})
    except OSError as error:  # The server is away, or somebody else has the job by now.
        print(error, file=sys.stderr)
        time.sleep(1)
