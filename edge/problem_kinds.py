"""The kinds of problems, listed once: their types, statuses and titles, and the pages that explain them.

To add one, add a line here and run `./run openapi`. A kind's name and status never change.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PATH: Final = "/problems"
"""Below it, each kind has a page."""


class Kind(Enum):
    """A kind of problem: its name in URLs, the status of its answers, a title, and three sentences of explanation."""

    MALFORMED_REQUEST = (
        "malformed-request",
        400,
        "The request is not HTTP",
        "The bytes that arrived are no HTTP/1.1 request.",
        "Nothing was carried out, and the connection is closed.",
        "Send the request with an HTTP library, and look for a proxy that changes it on the way.",
    )
    CONTRADICTORY_REQUEST = (
        "contradictory-request",
        400,
        "The request contradicts itself",
        "Two parts of the request are valid, but do not go together.",
        "Most often a cursor is sent with another filter, sort or as_of than that of the list it came from.",
        "Repeat the parameters of the first page, or begin again without a cursor.",
    )
    REFUSED_PREFLIGHT = (
        "refused-preflight",
        400,
        "The browser may not send this request",
        "A browser asked whether a page of another origin may send a request, and the answer is no.",
        "Either the page's origin is not in CORS_ORIGINS, or the method is not one that this API has.",
        "Add the origin (scheme, host and port) to CORS_ORIGINS, or use a method that `detail` names.",
    )
    NO_TOKEN = (
        "no-token",
        401,
        "No token was sent",
        "The request has no bearer token, and everything below /api needs one.",
        "Send the token that Better Auth issues for the signed-in person.",
        "It goes into the header `Authorization: Bearer <token>`.",
    )
    INVALID_TOKEN = (
        "invalid-token",
        401,
        "The token is not valid",
        "The token was not issued for this service, is malformed, or its signature does not fit.",
        "For safety the answer does not say which of these; the service's log does.",
        "Get a new token from Better Auth, and check that both sides use the same BETTER_AUTH_SECRET or keys.",
    )
    EXPIRED_TOKEN = (
        "expired-token",
        401,
        "The token has expired",
        "The token was valid, but the time in its claim `exp` has passed.",
        "The service allows for clocks that differ by 30 seconds.",
        "Get a new token from Better Auth and send the request again.",
    )
    FOREIGN_PATH = (
        "foreign-path",
        403,
        "The path is another user's",
        "The token is valid, but the path names another user.",
        "Nobody can see or change another user's tasks.",
        "Use the token's own user id, its claim `sub`, in the path.",
    )
    TASK_NOT_FOUND = (
        "task-not-found",
        404,
        "There is no such task",
        "The user has no task with this id.",
        "It never existed, was deleted, or belongs to somebody else; the answer is the same for all three.",
        "Ask for the list again to see which tasks there are.",
    )
    PATH_NOT_FOUND = (
        "path-not-found",
        404,
        "There is nothing at this path",
        "The service has no such path.",
        "Paths are compared exactly, apart from one slash at the end.",
        "All paths are at /docs.",
    )
    POSITION_NOT_FOUND = (
        "position-not-found",
        404,
        "The history has no such position",
        "The user's history does not reach to this position.",
        "Positions are 1, 2, 3 and so on; each write's answer has its own in the header `Tasklog-Position`.",
        "Ask for the history again to see which positions there are.",
    )
    METHOD_NOT_ALLOWED = (
        "method-not-allowed",
        405,
        "The path does not have this method",
        "The path exists, but not for this method.",
        "The header `Allow` lists the methods that it has.",
        "All of them are explained at /docs.",
    )
    REQUEST_TOO_SLOW = (
        "request-too-slow",
        408,
        "The request did not arrive in time",
        "The request's header and body did not arrive within 15 seconds.",
        "Nothing was carried out, and the connection is closed.",
        "Send it again over a better connection, or in smaller parts.",
    )
    CONTENDED_TASK = (
        "contended-task",
        409,
        "The task is being changed by many at once",
        "Other writers changed the task each time before this command could be written.",
        "Nothing was changed by it.",
        "Send the request again after a moment.",
    )
    REQUEST_IN_PROGRESS = (
        "request-in-progress",
        409,
        "The first request with this key is still in progress",
        "Another request with the same Idempotency-Key has not been answered yet.",
        "It will be carried out once, whatever you do.",
        "Wait a moment and repeat the request with the same key to get the answer of the first one.",
    )
    TOKEN_UNKNOWN = (
        "token-unknown",
        410,
        "The token of changes is not known",
        "The token does not belong to the user's history as it is now, or never did.",
        "The history was restored, erased or repaired, or an upgrade changed what tasks look like.",
        "Forget the tasks that you hold, and ask without `since` for all tasks and a new token.",
    )
    CANNOT_UNDO = (
        "cannot-undo",
        409,
        "The change cannot be undone",
        "The change is undone already, its text was erased, or later changes of the same fields stand in between.",
        "`positions` lists what stands in the way, and nothing was changed.",
        "Undo those changes first, newest first, or edit the task.",
    )
    TASK_CHANGED = (
        "task-changed",
        412,
        "The task was changed since",
        "The task is not at the version that the request names with If-Match.",
        "Somebody changed it after you read it, and nothing was overwritten.",
        "Read the task again, apply your change to it, and send it with the new ETag.",
    )
    BODY_TOO_LARGE = (
        "body-too-large",
        413,
        "The body is too large",
        "The body is larger than 1 MiB.",
        "Nothing of it was stored.",
        "Send a shorter description, or fewer commands at once.",
    )
    UNSUPPORTED_BODY = (
        "unsupported-body",
        415,
        "The body is not sent as JSON",
        "The body has another type than JSON in UTF-8, or is compressed.",
        "Nothing of it was read.",
        "Send it uncompressed with the header `Content-Type: application/json`.",
    )
    MOVED = (
        "moved",
        421,
        "The user's tasks are in another place",
        "The user's tasks moved to another cell, which has a database of its own, and nothing was carried out here.",
        "A gateway that knows the cells sends the request there; the header `Tasklog-Cell` names the cell.",
        "If you see this as a client, send the request again in a moment, and tell the people who run the gateway.",
    )
    INVALID_REQUEST = (
        "invalid-request",
        422,
        "A part of the request is not valid",
        "A parameter, a header or a field of the body does not have the form that the contract asks for.",
        "`detail` says what is wrong first, and `errors` lists all fields that do not fit.",
        "Correct them and send the request again; nothing was changed.",
    )
    KEY_REUSED = (
        "key-reused",
        422,
        "The Idempotency-Key belongs to another request",
        "This Idempotency-Key was used for another request within the last 24 hours.",
        "One key stands for one request, so nothing was carried out.",
        "Use a new key for each new request, and the old one only to repeat the same request.",
    )
    ANSWER_TOO_LONG = (
        "answer-too-long",
        422,
        "The answer is too long",
        "The answer is longer than the database can build in one piece.",
        "The request itself is fine.",
        "Ask for it in pages, with a smaller `limit`.",
    )
    FAILED_REFERENCE = (
        "failed-reference",
        424,
        "The command that it refers to failed",
        "This command is for a task that an earlier command of the same call was to create.",
        "That command failed, so there is no such task, and this one was not carried out.",
        "See the problem of the earlier command, and send both again under the same ids.",
    )
    TOO_MANY_REQUESTS = (
        "too-many-requests",
        429,
        "Too many requests",
        "The user has sent more requests than the service's RATE_LIMIT allows.",
        "This request was not carried out.",
        "Wait as many seconds as the header `Retry-After` says.",
    )
    TOO_MANY_STREAMS = (
        "too-many-streams",
        429,
        "Too many open streams",
        "The user has as many open streams and waiting requests as one user may have.",
        "This one was not opened, and the others go on.",
        "Close those that nobody reads: one stream serves all tabs of a browser.",
    )
    HEADER_TOO_LARGE = (
        "header-too-large",
        431,
        "The header is too large",
        "The request line and the headers together are larger than 64 KiB.",
        "Nothing was carried out, and the connection is closed.",
        "Often the reason is too many cookies: this API needs none.",
    )
    INTERNAL_ERROR = (
        "internal-error",
        500,
        "The service made a mistake",
        "Something happened that the service is not prepared for.",
        "The reason is in its log, under the id in the header `X-Request-ID`.",
        "Tell the people who run the service, with this id.",
    )
    UNAVAILABLE = (
        "unavailable",
        503,
        "The service cannot answer now",
        "The service or its database does not answer at the moment.",
        "A write may or may not have been carried out: with an Idempotency-Key it is safe to repeat it.",
        "Send the request again after the seconds in `Retry-After`.",
    )
    OVERLOADED = (
        "overloaded",
        503,
        "The service has too much to do",
        "More requests are in progress than the service takes on at once.",
        "This one was not begun.",
        "Send it again after the seconds in `Retry-After`.",
    )
    UNREAD_ANSWERS = (
        "unread-answers",
        503,
        "Earlier answers have not been read",
        "Too many long answers are on their way to this user and have not been read yet.",
        "This one was not sent, so that the service's memory suffices.",
        "Read the answers that you asked for, or ask for smaller pages with `limit`.",
    )
    ARRIVING = (
        "arriving",
        503,
        "The user's tasks are arriving",
        "The user's tasks are being moved to this cell, and are complete in a moment.",
        "Nothing was carried out.",
        "Send the request again after the seconds in `Retry-After`.",
    )
    TASK_IDS_USED_UP = (
        "task-ids-used-up",
        503,
        "There are no task ids left",
        "The service has given out all task ids of its range, so it cannot create a task; everything else works.",
        "Nothing was carried out.",
        "Whoever runs the service gives it a wider range: TASK_IDS, and then `./run migrate`.",
    )
    AUTH_SERVER_UNAVAILABLE = (
        "auth-server-unavailable",
        503,
        "The token cannot be checked now",
        "The keys of the auth server, which the token is checked with, cannot be fetched at the moment.",
        "The token may well be good, so do not sign the person out.",
        "Send the request again after the seconds in `Retry-After`.",
    )
    UNREADABLE_EVENT = (
        "unreadable-event",
        503,
        "The user's history cannot be read by this version",
        "The history has an event that this version of the service cannot read, most often during an upgrade.",
        "Nothing is lost, and other users are served.",
        "Whoever runs the service finds the position in its log, and can check it with `./run verify`.",
    )

    def __init__(self, name: str, status: int, title: str, *explanation: str) -> None:
        self.type = f"{PATH}/{name}"
        self.status = status
        self.title = title
        self.explanation = explanation
