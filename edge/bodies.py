"""JSON bodies: read raw, validated by pydantic in one pass, refused with sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from domain.fields import TITLE_LENGTH
from edge.problem_kinds import Kind
from edge.problems import FieldError, ProblemError
from edge.requests import header_value

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

Body = TypeVar("Body", bound="JsonBody")

_TITLE_RULE: Final = f"must be 1 to {TITLE_LENGTH} characters"
_MESSAGES: Final = {
    "missing": "is required",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "greater_than_equal": "is too small",
    "less_than": "is too large",
    "string_too_short": _TITLE_RULE,
    "string_too_long": _TITLE_RULE,
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "json_invalid": "is not valid JSON",
    "list_type": "must be an array",
    "too_short": "must not be empty",
    "too_long": "has too many items",
    "int_from_float": "must be a whole number",
    "string_pattern_mismatch": "must be 1 to 255 visible ASCII characters",
    "task_reference": "must be a task's id, or the ref of an earlier command",
    "left_out": "must be left out",
}

_RULE: Final = "rule"


class JsonBody(BaseModel):
    """A JSON object; types are taken strictly, unknown fields are ignored (clients echo whole tasks)."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def broken_rule(message: str) -> PydanticCustomError:
    """Return the error of a validator; `message` goes behind the field's name, in a sentence."""
    return PydanticCustomError(_RULE, "{message}", {"message": message})


def without_nul(text: str) -> str:
    """Return the text, unless Postgres cannot hold it."""
    if "\0" in text:
        raise broken_rule("must not contain the NUL character")
    return text


def _not_blank(title: str) -> str:
    if title.isspace():
        raise broken_rule("must not be only white space")
    return title


# The same two rules for the OpenAPI document. Its expressions are JavaScript's, whose \s is not Python's white space.
_SPACE: Final = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TEXT_PATTERN: Final = r"^[^\x00]*$"
_TITLE_PATTERN: Final = rf"^[^\x00]*[^\x00{_SPACE}][^\x00]*$"

Text = Annotated[str, AfterValidator(without_nul), Field(json_schema_extra={"pattern": _TEXT_PATTERN})]
"""Text that Postgres can hold; pydantic's JSON parser refuses lone surrogates itself."""

Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=TITLE_LENGTH),
    AfterValidator(without_nul),
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": _TITLE_PATTERN}),
]
"""1 to 200 code points, kept as sent."""


async def json_body(request: Request, model: type[Body], *, absent: Body | None = None) -> Body:
    """Return the request's body as a `model`, or `absent` if that is given and nothing was sent.

    A missing body, an empty one and `null` mean the same: clients send each of them for "no arguments".

    Raises:
        ProblemError: the body is too large (413), not sent as JSON (415), or not a `model` (422).
    """
    body = await request.body()
    if absent is not None and body in (b"", b"null"):
        return absent
    if not _is_json(header_value(request, b"content-type")):
        raise ProblemError(Kind.UNSUPPORTED_BODY, "The body must be JSON, sent as application/json")
    if (header_value(request, b"content-encoding") or "identity") != "identity":
        raise ProblemError(
            Kind.UNSUPPORTED_BODY, "The body must not be compressed", headers={"Accept-Encoding": "identity"}
        )
    if (b"NaN" in body or b"Infinity" in body) and not _is_strict(body):
        not_json = [FieldError("body", "is not valid JSON")]
        raise ProblemError(Kind.INVALID_REQUEST, "The body is not valid JSON", errors=not_json)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error) from None


def _is_strict(body: bytes) -> bool:
    """Return whether the body is strict JSON; pydantic's parser takes NaN and Infinity for numbers."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_json(content_type: str | None) -> bool:
    """Return whether the type is JSON in UTF-8; a body without a type counts as JSON."""
    if content_type is None or content_type == "application/json":
        return True
    essence, *parameters = content_type.lower().split(";")
    if essence.strip() != "application/json" and not (
        essence.startswith("application/") and essence.strip().endswith("+json")
    ):
        return False
    charsets = [text.strip()[8:].strip('"') for text in parameters if text.strip().startswith("charset=")]
    return all(charset in ("utf-8", "utf8") for charset in charsets)


def invalid_body(error: ValidationError) -> ProblemError:
    """Return the problem of a body that is not what its model asks for."""
    fields = [
        _field_error(details) for details in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = fields[0]
    subject = "The body " if first.field == "body" else f"{first.field}: "
    return ProblemError(Kind.INVALID_REQUEST, subject + first.message, errors=fields)


def _field_error(details: ErrorDetails) -> FieldError:
    """Return the error of a field, whose name comes from our models, never from the input."""
    field = ".".join(str(part) for part in details["loc"]) or "body"
    message = details["msg"] if details["type"] == _RULE else _MESSAGES.get(details["type"], "is not valid")
    return FieldError(field, message)
