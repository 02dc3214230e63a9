"""The paths of uploads: send a file, see how far it is, take the result, delete it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.uploads import document
from weir.inference.api.uploads.desk import Full, Ordered, Scores, UploadDesk, say_disk
from weir.inference.api.uploads.receiving import allow_time, receive
from weir.inference.api.web.content import find_wrong_content, read_kind
from weir.infra.uploads.folders import Held
from weir.schemas.errors import Transient
from weir.schemas.stream import Stream

_UNKNOWN = "no upload of this id: never sent, deleted, or kept for as long as uploads are"
_PART_BYTES = 1 << 18


class UploadPaths:
    """The paths of one stream's uploads."""

    def __init__(self, desk: UploadDesk, stream: Stream, scores: Scores) -> None:
        """Bind to what works on uploads, and to what scores."""
        self._desk = desk
        self._stream = stream
        self._scores = scores
        self._folders = desk.folders(stream.name)

    def add(self, router: APIRouter, path: str) -> None:
        """Add the paths, all of which begin with one."""
        self._add_send(router, path)
        self._add_list(router, path)
        self._add_one(router, path)
        self._add_result(router, f"{path}/{{upload_id}}/result")

    def _add_send(self, router: APIRouter, path: str) -> None:
        bounds = self._desk.settings

        @router.post(
            path,
            status_code=202,
            responses={
                202: examples.answer("it is received, and scored next", document.UPLOAD, document.SHOWN),
                **error_answers(
                    "invalid_idempotency_key", *WRONG_CONTENT, "invalid_request", "too_many_uploads", "unavailable"
                ),
            },
            openapi_extra=document.build_body(self._stream) | needs(Scope.SCORE),
            summary=f"Have a file of {self._stream.event}s scored: up to {bounds.mb_max:,} MB and "
            f"{bounds.rows_max:,} rows, each as if it were the only one; nothing is written",
        )
        async def post_upload(request: Request) -> Response:
            if wrong := find_wrong_content(request.headers, document.KINDS):
                return answer_error(415, *wrong)
            form = document.KINDS[read_kind(request.headers)]
            try:
                held = await self._desk.begin(self._stream.name, form)
            except Full as error:
                return answer_error(429, "too_many_uploads", str(error), {"retry-after": "10"})
            return await self._take(request, held, path)

    async def _take(self, request: Request, held: Held, path: str) -> Response:
        """Receive the file of an upload that has begun, and have it worked on."""
        is_whole = False
        try:
            allow_time(request.scope)
            size = await receive(request.stream(), held.events)
            if not size:
                raise BadRequest([FieldError("$", "expected a file, found an empty body")])
            is_whole = True
        except OSError as error:
            raise Transient(say_disk(error)) from None
        finally:
            if not is_whole:
                self._desk.drop(self._stream.name, held)
        job = held.job
        self._desk.order(Ordered(held, self._stream, self._scores))
        shown = document.describe(job, path, self._desk.keep_ms)
        return answer_json(shown, status=202, headers={"location": f"{path}/{job.id}"})

    def _add_list(self, router: APIRouter, path: str) -> None:
        @router.get(
            path,
            responses={
                200: examples.answer(
                    "all that are kept, the newest first",
                    document.UPLOADS,
                    {"uploads": [document.build_done(path)]},
                )
            },
            summary="Uploads",
            openapi_extra=needs(Scope.SCORE),
        )
        async def get_uploads() -> Response:
            jobs = await run_in_threadpool(self._folders.list_all, self._desk.now_ms())
            return answer_json({"uploads": [document.describe(job, path, self._desk.keep_ms) for job in jobs]})

    def _add_one(self, router: APIRouter, path: str) -> None:
        one = f"{path}/{{upload_id}}"

        @router.get(
            one,
            responses={
                200: examples.answer("how far it is", document.UPLOAD, document.build_done(path)),
                **error_answers("unknown_upload", "invalid_request"),
            },
            summary="How far an upload is",
            openapi_extra=needs(Scope.SCORE),
        )
        async def get_upload(upload_id: str) -> Response:
            job = await run_in_threadpool(self._folders.find, upload_id, self._desk.now_ms())
            if job is None:
                return answer_error(404, "unknown_upload", _UNKNOWN)
            return answer_json(document.describe(job, path, self._desk.keep_ms))

        @router.delete(
            one,
            status_code=204,
            responses={
                204: {"description": "it is deleted, with its result"},
                **error_answers("unknown_upload", "invalid_request"),
            },
            summary="Delete an upload; the work on it ends",
            openapi_extra=needs(Scope.SCORE),
        )
        async def delete_upload(upload_id: str) -> Response:
            is_gone = await run_in_threadpool(self._folders.delete, upload_id)
            return Response(status_code=204) if is_gone else answer_error(404, "unknown_upload", _UNKNOWN)

    def _add_result(self, router: APIRouter, path: str) -> None:
        @router.get(
            path,
            response_class=StreamingResponse,  # of no type of its own: the document has those of the file
            responses={
                200: document.build_result(self._stream),
                **error_answers("unknown_upload", "upload_not_done", "invalid_request"),
            },
            summary="The result of an upload",
            openapi_extra=needs(Scope.SCORE),
        )
        async def get_upload_result(upload_id: str) -> Response:
            job = await run_in_threadpool(self._folders.find, upload_id, self._desk.now_ms())
            if job is not None and job.state != "done":
                found = f"expected an upload that is done, found one that is {job.state}"
                return answer_error(409, "upload_not_done", found)
            if job is not None:
                with suppress(FileNotFoundError):  # deleted meanwhile
                    file = self._folders.find_result(job).open("rb")
                    return _answer_file(file, job.form, f"scored-{job.id[:8]}")
            return answer_error(404, "unknown_upload", _UNKNOWN)


def _answer_file(file: BinaryIO, form: str, name: str) -> Response:
    kind = next(kind for kind, its_form in document.KINDS.items() if its_form == form)
    size = file.seek(0, 2)
    file.seek(0)
    headers = {
        "content-type": f"{kind}; charset=utf-8" if form == "csv" else kind,
        "content-length": str(size),
        "content-disposition": f'attachment; filename="{name}.{form}"',
    }
    return StreamingResponse(_read_parts(file), headers=headers)


def _read_parts(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while part := file.read(_PART_BYTES):
            yield part
