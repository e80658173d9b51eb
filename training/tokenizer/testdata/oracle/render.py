# Renders chat templates as transformers does: with Jinja 2, in the same sandbox.
#
#   python3 render.py < questions.ndjson > answers.ndjson
#
# A line of the input is {template, variables}, one of the output {text} or {error}.
import json
import sys

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """The tag {% generation %}, which writes what is in it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller):
        return caller()


def fail(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = fail

for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"text": environment.from_string(question["template"]).render(**question["variables"])}
    except Exception as error:  # whatever it is, it is the answer
        answer = {"error": str(error)}
    print(json.dumps(answer))
