// Package webapi is the client of the Dynamics 365 CE / Dataverse Web API, online
// (v9.2) and on-premises (v9.1). It reads tables by change tracking for the
// outbound engine (outbound.Source), makes keyed writes for the inbound engine
// (inbound.Writer), and reads metadata. One Client serves one organization as one
// user.
//
// # Promises
//
//   - A page is whole or an error. It is split in one pass, whatever the order of
//     its members; exactly one of next link and delta link is on it. A page that
//     is cut, has a duplicate member, a row without GUID or version, or anything
//     after its end, is refused with the position.
//   - Credentials leave for the configured origin only. Redirects are not
//     followed. A link is cut down to what follows /api/data/vX.Y/, and only when
//     it has the configured scheme, host, port and path and addresses the same
//     entity set; its query is kept byte for byte.
//   - A write is one HTTP request unless it carries OnCreate (two for a new
//     record) or an update with references is answered by a "not there" that does
//     not say which record is meant (one read more). A 204 counts only with an
//     OData header, a 200 or 201 only with a JSON object.
//   - Every failure is an *outcome.Error whose verdict was given by one function,
//     classify: by error code, then by text where the code is empty, then by
//     status, then by the shape of the body. The caller's own cancellation or
//     deadline is returned as the context's error and is no verdict; a write may
//     have been done then.
//   - Ambiguous is set on a write that may have been done although no answer of
//     the API said so: the connection broke or the deadline passed once a
//     connection was had, a gateway answered, or a good status came with a body
//     that is none.
//   - After an answer that asks to wait (429, a throttling code, 503 with
//     Retry-After) no request of the client is sent before that time; then they
//     are released within a second. At most an hour is waited; junk is ignored;
//     without a wish it is five seconds, and never less than one.
//   - Refused credentials (401) are renewed once a request, by one renewal for
//     all; the second refusal is returned as outcome.Reauthenticate, or as
//     outcome.Stop when no credentials are configured.
//
// # Bounds
//
// Requests in flight and connections: Config.MaxInFlight. Time of a request,
// body included: Config.Timeout; waiting for a slot or for the server's leave
// does not count and ends with the caller's context. Bytes after decompression:
// Config.MaxPageBytes and MaxBodyBytes, 64 KiB of a failed answer, 256 KiB of a
// header. Nesting: 64. Rows a page: 100,000. A page takes one allocation for its
// rows, as large as the answer, beside the raw bytes, which are pooled.
//
// # What a row is
//
// JSON holds the row's members in the server's order without annotations (names
// with an '@'), values byte for byte; blanks between members are dropped, and
// half a surrogate pair, which a text cut at its maximum length can end with,
// becomes U+FFFD. Hash is xxhash64 over the same members without versionnumber.
// Version is versionnumber, or the number in the row's etag. Deletions are known
// by their context, which ends with /$deletedEntity, or by id and reason.
//
// # Sources
//
// Developer guide: "Use change tracking to synchronize data with external
// systems", "Page results", "Use Upsert", "Use an alternate key to reference a
// record", "Perform conditional operations", "Compose HTTP requests and handle
// errors", "Service protection API limits", "Query table definitions", and the
// list of web service error codes. What these leave open is decided by what
// public clients do, and noted where it is used. Not offered here: NTLM and
// Kerberos, $batch, and writes of metadata.
package webapi
