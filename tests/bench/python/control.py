"""Asks the emulator's control endpoint: control.py PATH BODY TIMES. Prints each answer, JSON, in a line."""

import http.client
import os
import ssl
import sys
from urllib.parse import urlsplit

path, body, times = sys.argv[1:]
control = urlsplit(os.environ["EDGEPASS_BENCH_CONTROL"])
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
connection = http.client.HTTPSConnection(control.netloc, context=context)
for _ in range(int(times)):
    connection.request("POST", control.path + path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        sys.exit(f"HTTP {answer.status}: {text}")
    print(text)
