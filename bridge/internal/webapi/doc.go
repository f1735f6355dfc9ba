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
//     record), or makes an inactive record, or a repeated create meets a duplicate, or an update with references is answered by a "not there" that does
//     not say which record is meant (one read more), or something is searched for
//     (one query each). A 204 counts only with an
//     OData header, a 200 or 201 only with a JSON object.
//   - A record is never made inactive: a body with an inactive statecode goes to an
//     existing record whole; a new one is made without state and status, and a further
//     request gives it those (three requests for an upsert, two for a create, counted by
//     Result.Requests, a span event and a metric; no $batch). After a failure between
//     the two the record is active and the error says so; the same write repeated ends it.
//   - A write with Merged is made after one question for the record (one more for each
//     record it was merged into, five at most): by GUID and for the version that was read,
//     or as a create that fails when the record is there by now. A merged record is never written: the
//     write is rejected, or goes to the record at the end, which a delete never does. After a lost race the
//     question is asked again, in three rounds, then it is outcome.RetryRace. The record that a key
//     meant at its last write is remembered until ForgetKeys; with MergedReject another one is outcome.KeyReused. Such a
//     write shares no $batch.
//   - A search with a rule for merged records (schema.Search.Merged) finds the one that goes
//     on, or is a rejection, likewise; nothing holds that one as it is until it is bound.
//   - A duplicate answers a create as accepted when Write.Repeat is set and the record
//     under its key has every plain column as the body writes it; lookups are not
//     compared. A body without plain columns proves nothing. Else it is a rejection.
//   - A record that has to be searched for (schema.Search) is addressed by its GUID
//     and updated only if it is still there, or created by POST with its key in the
//     body, where the key's index refuses a second one. Both ways lead back to the
//     search when another writer was faster. A search that finds two is a rejection;
//     one that finds nothing parks a write that refers to the record. Such a write
//     shares no $batch.
//   - A record that the write's key refers to by something else than its GUID is searched
//     for first (schema.KeyParent), like a reference; a delete below one that is not there
//     is done. A remembered answer is dropped, and the write made once more, also when
//     the record itself turns out not to be there.
//   - The answer to a search for a reference may be remembered (Config.ResolveTTL)
//     if the write says so. It is dropped when a write shows it to be gone, and that
//     write is made once more. What is missing is not remembered. Those who want the
//     same at the same time share one request.
//   - Every failure is an *outcome.Error whose verdict was given by one function,
//     classify: by error code, then by text where the code is empty, then by
//     status, then by the shape of the body. The caller's own cancellation or
//     deadline is returned as the context's error and is no verdict; a write may
//     have been done then, unless the error is also inbound.ErrNotSent.
//   - A refusal for want of a right (403) that one record can cause, be it by its owner, its
//     business unit or what it refers to, rejects that write and names the missing
//     privilege (outcome.Error.Privilege). Those that speak of the user or the organization
//     as a whole are outcome.Stop (judgeForbidden), and so are those of queries.
//   - Ambiguous is set on a write that may have been done although no answer of
//     the API said so: the connection broke or the deadline passed once a
//     connection was had, a gateway answered, or a good status came with a body
//     that is none.
//   - After an answer that asks to wait (429, a throttling code, 503 with
//     Retry-After) no request of the client is sent before that time; then they
//     are released within a second. At most an hour is waited; junk is ignored;
//     without a wish it is five seconds, and never less than one.
//   - Requests in flight follow what the server says (governor): from its hint of
//     parallelism if it sends one, else from Config.MaxInFlight, never above that
//     and never below one; one more after a clean window, half after a throttled,
//     unavailable or overdue answer, an eighth less when single writes take several
//     times as long as they did. While both directions have something to send,
//     neither gets less than half of the slots that become free. Of outbound's requests,
//     pages of long reads (outbound.Query.Bulk) wait behind the others, but no more than
//     three in a row overtake them.
//   - With Config.Budget no more requests are made in a day (UTC) than it allows, the
//     operations of a $batch counted singly, each in the day in which it is sent. Writes wait for the next day; pages are
//     refused as outcome.Budget with the time to come again. What was counted and then
//     not sent is given back, unless it was saved meanwhile.
//   - With Config.Batch, writes under way at the same time share a $batch request
//     without change sets. Each ends as if it had been sent alone: own status, own
//     verdict, own result. Where an answer ends early, the writes without a part are
//     ambiguous failures of their own; an answer whose parts cannot be told to
//     belong to the requests is one of all of them. A batch refused as a whole is
//     sent again in halves, down to single requests; a server without $batch gets
//     single ones for ten minutes. A write with OnCreate, or above 1 MiB, goes
//     alone, and so does one that has no company. Two writes to one record must
//     not run at the same time, since a batch does not say in which order they were
//     called.
//   - Find reads up to 1,000 records by id in one request: a GET for up to 50 of them,
//     whose conditions fit an address of 4 KiB, else one $batch of such GETs. The first
//     part that failed is the error of all.
//   - A record is missing (Exists, Missing) only by the API's own word about that very
//     record: status 404 with the code of a record that does not exist, or a text
//     that names its id. A missing right (403) is an error, never an absence. Missing
//     looks many records up in one $batch of reads, and concludes nothing from an
//     answer that is cut, has too few or too many parts, or one part that is anything
//     else. Throttling inside of a batch closes the gate like any other.
//   - Unreadable names the selected columns that are secured and that no permission lets
//     the user read; a permission that cannot be read is none.
//   - Refused credentials (401) are renewed once a request, by one renewal for
//     all; the second refusal is returned as outcome.Reauthenticate, or as
//     outcome.Stop when no credentials are configured.
//
// # Bounds
//
// Requests in flight and connections: Config.MaxInFlight. Writes a batch: 1,000 and
// 4 MiB; reads a batch: 500; time that a write waits for company: Config.Batch.Linger. Time of a request,
// body included: Config.Timeout; waiting for a slot or for the server's leave
// does not count and ends with the caller's context. Bytes after decompression:
// Config.MaxPageBytes and MaxBodyBytes, 64 KiB of a failed answer, 256 KiB of a
// header. Nesting: 64. Remembered searches: 4,096, the least used go; keys and their records: 4,096, likewise. Rows a page: 100,000. A page is taken apart
// while it arrives: in memory are its rows, in pieces of at most 256 KiB or one row, and of
// the raw bytes no more than one row.
//
// # Connections
//
// HTTP/1.1, with bridge/internal/http1: each request is written and its answer read by the
// goroutine that makes it, and an idle connection is looked at before a request is put on it, since a
// write that meets a closed one is ambiguous. net/http's transport serves where a proxy stands between, where
// Config.HTTP2 asks for more, for NTLM, for tokens, and on systems where http1 is not
// supported. A write is never sent twice by either of them, unless nothing of it was written. Close drops
// idle connections.
//
// # Rehearsals
//
// Rehearse lets Apply make a write against a pretended server and returns the requests,
// so that what is shown to a person is what would be sent. GUIDs that only a server knows
// are names in braces.
//
// # Logging in
//
// None, ClientCredentials (Microsoft Entra; a secret or a certificate), ADFS (a user's
// name and password for a token) and NTLM. A token is renewed ahead of its end by one
// request for all; certificate files are read again for every token. NTLM logs
// connections in: each request in flight has a connection of its own and travels only
// when it is logged in. A refused password is not tried again for at least five
// minutes (half a minute if it was accepted before), and an unproven one never by two
// connections at a time, since tries lock accounts. No error, span or dead letter
// shows a password, secret or token, also where a server's answer echoes them.
//
// # Definitions
//
// What plan and apply need: change tracking on, alternate keys made, watched and
// reactivated, webhooks registered. Each change is one request, sent once; after a
// failure that leaves it open, look again. A key's name or columns that are taken, too
// large or secured are outcome.Stop, as nothing but a person can help.
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
// errors", "Execute batch operations using the Web API", "Service protection API
// limits", "Send parallel requests", "Query table definitions", and the list of web
// service error codes. What these leave open is decided by what public clients do,
// and noted where it is used. Not offered here: Kerberos and channel binding.
package webapi
