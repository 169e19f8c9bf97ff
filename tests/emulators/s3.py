"""An S3 store in memory with one bucket: moto, one request at a time. usage: s3.py PORT BUCKET

moto looks whether an object is there and puts it in two steps. S3 does it in one, and so does this,
for the lock.
"""

import os
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple

ACCOUNT = "123456789012"


class OneAtATime:
    def __init__(self, application):
        self.application = application
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            return list(self.application(environ, start_response))


def main():
    port, bucket = int(sys.argv[1]), sys.argv[2]
    os.environ["MOTO_PORT"] = str(port)
    s3_backends[ACCOUNT]["aws"].create_bucket(bucket, "us-east-1")
    run_simple("127.0.0.1", port, OneAtATime(DomainDispatcherApplication(create_backend_app)), threaded=True)


if __name__ == "__main__":
    main()
