"""Signs a request to AWS with botocore, at the time that the argument names.

    aws_signature.py {"url", "content_type", "body", "time", "region", "access_key", "secret_key", "session_token"}

Prints the `Authorization` header.
"""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

asked = json.loads(sys.argv[1])
time = datetime.datetime.strptime(asked["time"], "%Y%m%dT%H%M%SZ")
if not hasattr(botocore.auth, "get_current_datetime"):
    raise SystemExit("botocore takes its time from somewhere else now: see its auth.py")
botocore.auth.get_current_datetime = lambda *_, **__: time

request = AWSRequest(
    method="POST",
    url=asked["url"],
    data=asked["body"].encode(),
    headers={"Content-Type": asked["content_type"]},
)
keys = Credentials(asked["access_key"], asked["secret_key"], asked["session_token"])
botocore.auth.SigV4Auth(keys, "sts", asked["region"]).add_auth(request)
if request.headers["X-Amz-Date"] != asked["time"]:
    raise SystemExit("botocore has signed at another time")
print(request.headers["Authorization"])
