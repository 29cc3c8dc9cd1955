#!/bin/sh
# openapi-python-client 0.29.1: an optional request body whose schema also admits null cannot be left out of a call. The
# generated function gives it the default UNSET, and then sends that object as JSON; without the null it sends no body.
#
# Guess before the run: `toggle.sync(7, client=…)` without a body sends none, as `requestBody.required` is false and the
#   parameter has a default.
# Seen: the call raises TypeError, "Object of type Unset is not JSON serializable", before anything is sent.
# What to do: call it with an empty body object; a server that takes no body takes `{}` as well.
#
# Needs python3 with venv. Prints the version and what it saw; fails if that is no longer so.
set -eu
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
cd "$lab"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1 2>/dev/null
cat >lamps.json <<'JSON'
{"openapi": "3.1.0", "info": {"title": "Lamps", "version": "1"},
 "paths": {"/lamps/{id}/toggle": {"patch": {
   "operationId": "toggle", "tags": ["lamps"],
   "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}],
   "requestBody": {"required": false, "content": {"application/json": {"schema": {
     "anyOf": [{"$ref": "#/components/schemas/Wanted"}, {"type": "null"}]}}}},
   "responses": {"200": {"description": "The lamp", "content": {"application/json": {"schema": {"type": "string"}}}}}}}},
 "components": {"schemas": {"Wanted": {"title": "Wanted", "type": "object", "properties": {"on": {"type": "boolean"}}}}}}
JSON
echo "post_hooks: []" >config.yaml
venv/bin/openapi-python-client generate --path lamps.json --meta none --output-path client --config config.yaml >/dev/null
echo "version: $(venv/bin/pip list 2>/dev/null | grep -i '^openapi-python-client ' | tr -s ' ')"
seen=$(venv/bin/python - <<'PY'
from client import Client
from client.api.lamps import toggle

try:
    toggle.sync(7, client=Client(base_url="http://127.0.0.1:9"))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
PY
)
echo "a call without the optional body: $seen"
[ "$seen" = "TypeError: Object of type Unset is not JSON serializable" ]
