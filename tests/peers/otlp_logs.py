"""Reads requests of OTLP over HTTP in JSON, one on each line of standard input, by OpenTelemetry's own definitions, which
refuse what they do not know. Prints each log record as a line of JSON."""

import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind)


def main():
    for line in sys.stdin:
        # identifiers are hexadecimal in OTLP, and base64 in the JSON of protobuf
        document = json.loads(line, object_hook=with_base64)
        request = json_format.ParseDict(document, ExportLogsServiceRequest())
        # as every receiver sees it
        request = ExportLogsServiceRequest.FromString(request.SerializeToString())
        for of_resource in request.resource_logs:
            resource = {one.key: plain(one.value) for one in of_resource.resource.attributes}
            for of_scope in of_resource.scope_logs:
                for record in of_scope.log_records:
                    print(json.dumps({
                        "resource": resource,
                        "scope": of_scope.scope.name,
                        "time_unix_nano": record.time_unix_nano,
                        "observed_time_unix_nano": record.observed_time_unix_nano,
                        "severity": record.severity_number,
                        "event": record.event_name,
                        "trace_id": record.trace_id.hex(),
                        "span_id": record.span_id.hex(),
                        "body": plain(record.body),
                        "attributes": {one.key: plain(one.value) for one in record.attributes},
                    }))


def with_base64(fields):
    import base64

    for name in ("traceId", "spanId"):
        if name in fields:
            fields[name] = base64.b64encode(bytes.fromhex(fields[name])).decode()
    return fields


main()
