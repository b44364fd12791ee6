#!/usr/bin/env python3
"""A worker of a `queue` agent over RabbitMQ, without HTTP. Needs the package `pika`. See docs/registry.md."""
import concurrent.futures, json, os, sys, time, uuid
import pika

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
PREFIX = os.environ.get("POSTGRES_SCHEMA", "tutti")
AGENT, ME = sys.argv[1] if len(sys.argv) > 1 else "echo", f"py-{uuid.uuid4().hex[:8]}"
QUEUE, LIKE_THE_SERVER = f"{PREFIX}.agent.{AGENT}", {"x-queue-type": "classic", "x-max-priority": 9}
POOL = concurrent.futures.ThreadPoolExecutor(1)


def work(job):
    """Yours: `input` is what is asked, `messages` what was said before."""
    return {"heard": job["input"]}


def say(channel, job, **words):
    body = json.dumps({"job_id": job["job_id"], "claim": job["claim"], "instance_id": ME, **words})
    persistent = pika.BasicProperties(delivery_mode=2, content_type="application/json")
    channel.basic_publish("", job["reply_to"], body, persistent, mandatory=True)


def serve(connection):
    channel = connection.channel()
    channel.confirm_delivery()  # So that the job is let go only when the broker has its result.
    channel.basic_qos(prefetch_count=1)
    channel.queue_declare(QUEUE, durable=True, arguments=LIKE_THE_SERVER)
    print(f"{ME} works for {AGENT}", flush=True)
    for method, _, body in channel.consume(QUEUE):
        job, said = json.loads(body), float("-inf")
        doing = POOL.submit(work, job)
        while not doing.done():
            if time.monotonic() > said + job["lease_seconds"] / 3:  # It is mine, and stays so.
                said = time.monotonic()
                say(channel, job, taken=True)
            connection.process_data_events(time_limit=0.05)
        error = doing.exception()
        say(channel, job, **({"error": {"message": str(error), "retry": True}} if error else {"output": doing.result()}))
        channel.basic_ack(method.delivery_tag)


while True:
    try:
        serve(pika.BlockingConnection(pika.URLParameters(URL)))
    except pika.exceptions.AMQPError as error:  # The broker is away, or was.
        print(repr(error), file=sys.stderr)
        time.sleep(1)
