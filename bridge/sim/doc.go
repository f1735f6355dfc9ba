// Package sim is a simulator of the Web API of Dynamics 365 Customer Engagement
// (Dataverse): a server that an independent client should not be able to tell
// from the real one, on the surface that integrations use.
//
// # What it serves
//
// Online under /api/data/v9.0 to v9.2, on premises under /ORG/api/data/v9.0 and
// v9.1: the service document, $metadata and EntityDefinitions, $batch, WhoAmI,
// RetrieveVersion, RetrieveCurrentOrganization, and for every table of the schema
//
//	GET    set            $select $filter $orderby $top $count $expand, paging
//	GET    set            with Prefer: odata.track-changes, and its links
//	GET    set/$count     also with $deltatoken
//	POST   set            create
//	GET    set(key)       $select $expand
//	PATCH  set(key)       upsert, update with If-Match, create with If-None-Match
//	DELETE set(key)
//	GET PUT DELETE set(key)/column
//	GET    set(key)/navigation            the record or collection behind it
//	GET PUT DELETE set(key)/lookup/$ref, POST DELETE set(key)/collection/$ref
//	POST   set/Microsoft.Dynamics.CRM.CreateMultiple (UpdateMultiple, UpsertMultiple)
//	POST   Merge                          of tables with the columns merged and masterid
//
// where key is a GUID or an active alternate key; and of definitions
//
//	GET    EntityDefinitions        Attributes with casts, Keys, relationships
//	PUT    EntityDefinitions(key)   change tracking, optimistic concurrency
//	POST   EntityDefinitions(key)/Keys, DELETE, the action ReactivateEntityKey
//	POST   PublishAllXml, PublishXml
//	GET    systemusers(key)/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()
//
// Webhooks are records of serviceendpoints and sdkmessageprocessingsteps and are
// really called. What the real API has and this
// one lacks is refused, with 501 and a message that begins with "Not simulated",
// or with the error the real one has: an unknown option is never ignored.
//
// Below /sim/ is the simulator's own API (write log, counters, faults, and what
// an administrator or a database operator does: see "The simulator's API"), and the
// methods of Server do the same in process: Insert, Update, Delete and Seed are
// writes like any other and appear in the log and in change tracking.
//
// # The simulator's API
//
//	GET    /sim/log?from=N                    the write log, a JSON object a line
//	GET    /sim/stats                         counters; DELETE sets the requests to 0
//	GET    /sim/faults                        rules and counts; POST adds, DELETE ends
//	POST   /sim/tables/{table}/faults         a rule for one table
//	POST   /sim/tables/{table}/drop-column    {"column"}
//	POST   /sim/tables/{table}/secure-column  {"column"}, with "granted":true gives it back
//	POST   /sim/tables/{table}/fail-key       {"key"}; activate-key undoes it
//	POST   /sim/tables/{table}/expire-tokens
//	POST   /sim/tables/{table}/hold           {"id","columns"}: 201 {"transaction":N}
//	POST   /sim/transactions/{N}/commit
//	POST   /sim/snapshots                     201 {"snapshot":N}
//	POST   /sim/snapshots/{N}/restore         the database goes back; DELETE forgets it
//	GET    /sim/auth                          counts of logins, tokens, closed connections
//	DELETE /sim/auth/tokens                   revokes every bearer token
//
// Each of these faults is counted in the stats and stands in the write log. In
// process the same are DropColumn, SecureColumn, FailKey, ActivateKey,
// ExpireTokens, LateUpdate, Snapshot and Restore.
//
// # Data directory
//
// Options.Data names a directory with one file, data.jsonl: a snapshot followed by
// the transactions since, one JSON object a line. A line is written before its
// request is answered, so that a killed process loses nothing it has answered; an
// unfinished last line is cut off at the next start, anything else that is broken
// refuses the start. It is not synced line by line: a power failure may lose the
// latest. Row versions, deletes, delta tokens and table definitions are kept, the
// write log, open transactions, secured columns and fault rules are not. A table
// that the directory has is as the directory says, whatever Options.Tables has.
// The file is rewritten at the start when most of it is history.
//
// # Ground truth
//
// The write log holds every attempt, commit, refusal and fault in the order of
// the database, with the whole row of each version if Options.RecordWrites is
// set. An end-to-end check compares its result with the log and with Row, not
// with what callers were told.
//
// # Behaviour and where it comes from
//
// "doc" is Microsoft's developer guide, "live" recorded exchanges with real
// servers, "assumed" neither; the switch that flips an assumption is a field of
// Assumptions unless another option is named.
//
//	row versions: one ascending counter for the whole database       live
//	etag is W/"row version"                                          doc examples
//	upsert answers 204 with the key form of its URL                  doc, live
//	on create the body wins over the key in the URL; on update the
//	key's columns in the body are dropped                            doc
//	If-None-Match: null is no condition                              doc
//	codes of a failed If-None-Match (0x80040237), stale etag         assumed; doc shows ""
//	duplicate alternate key: 412 0x80060892                          live
//	missing bind target: by key 0x80060891, by id 0x80040217         live
//	... with status 404                                              assumed (BindMissBadRequest)
//	a lookup in the key of a new record is checked like a bind       assumed
//	key not valid: 400, code 0x0                                     assumed
//	keys compare without case and trailing blanks                    assumed (CaseSensitiveKeys)
//	rows with a null part take no part in a key                      assumed
//	forbidden key characters: 400 with an HTML page                  doc (lists), assumed (page)
//	a slash in a bind value: 400 "Error in query syntax."            live
//	users and teams: declared key is ownerid                         doc
//	empty text is stored as null                                     assumed
//	text length in UTF-16 units                                      assumed
//	money has four decimals, decimals ten or the precision           live (money), assumed
//	excess decimals are rounded, half away from zero                 assumed
//	two-option columns default to false                              assumed
//	dates: seconds, UTC, from 1753; fractions cut off                doc, assumed (cut)
//	statecode other than 0 on create is refused                      assumed (InactiveOnCreate)
//	a new state without status takes the state's default             doc
//	columns the server maintains are refused in bodies               assumed
//	clearing one target of a polymorphic lookup leaves another       assumed
//	page size at most 5,000; counts stop at 5,000                    doc
//	untracked order is by id; nextLink and cookie as recorded        live
//	tracked cookie: further attributes, istracking="True"            assumed
//	delta link on the last page only                                 live
//	delta: changes by version, then deletes                          doc
//	created and deleted between two polls: the delete is reported    doc
//	made again under its old id: reported as a change only           assumed
//	a load's token dates from its first page                         assumed (TokenFromLastPage)
//	a delta ends at the version of its own first page                assumed
//	maxpagesize is honoured on delta links                           assumed (NoPageSizeOnDelta)
//	old delta links may be followed again until they expire          assumed
//	$filter $orderby $top (online $expand) with tracking: 400        doc
//	on premises takes $expand with tracking                          doc (not among the refused)
//	tracking off: 400 0x80072491                                     assumed (status)
//	annotations on a tracked query drop the delta link               live (KeepDeltaLinkWithAnnotations)
//	expired token: fault online, everything on premises              doc (Options.ExpiredToken)
//	... the fault is 400 0x80044352                                  assumed (ExpiredGone)
//	delta link before the rows, load links after                     doc examples (DeltaLinkFirst, DeltaLinkLast)
//	/$count begins with a byte order mark                            doc
//	eq, contains and the like ignore case; ne is true for null       assumed
//	counts: annotations totalrecordcount and ...limitexceeded        doc
//	$expand: nested $select; $filter $orderby $top for collections    doc
//	... deeper levels: 501; at most 15                               doc (15)
//	... an owner has only ownerid, and its type                      assumed
//	... maxpagesize also cuts nested collections                     doc
//	$expand on a write is checked and has no effect                  doc
//	$ref of a collection writes the lookup of the other record       doc; 404 if not related: assumed
//	Multiples: one transaction, @odata.type needed, 200 Ids or 204   doc; unknown on premises: assumed
//	UpsertMultiple creating with the key in both places: 0x80040216  live (MultipleKeyInBody)
//	Merge: one record keeps on, the other is merged, inactive, masterid  doc
//	... related records stay with the other; PerformParentingChecks  not simulated (true: 501)
//	... errors; an inactive or merged record takes no part           assumed
//	lost race of two upserts: one of three 412s                      live (fault duplicate_race)
//	... the rival wrote the same columns                             assumed
//	plug-in abort: 400 0x80040265                                    doc (fault plugin_abort)
//	missing privilege: 403 0x80040220                                doc; text assumed
//	RetrievePrincipalAttributePrivileges: bound to a user, CanRead 4  doc, assumed (no entry: nothing allowed)
//	secured column: null; 403 0x8004F507 or 0x8004F502 on writes     doc (codes), assumed (null)
//	dropped column: unknown property; tokens of the table void       assumed
//	length and range texts with two blanks and the table's name      doc (length), live
//	percent-encoded parentheses and quotes in paths are decoded      assumed (as IIS does)
//	functions and actions that are not served: 501                   not simulated
//	errors: HelpLink, InnerError.Message, duplicate columns on request doc, live
//	Accept without JSON: 415; odata.metadata=full: 501               assumed (status); not simulated
//	on premises: innererror, no codes from the OData layer           live, assumed (which)
//	on premises refuses v9.2 with 501                                assumed
//	impersonation of an unknown user: 403                            assumed
//	401 without a token: authorization_uri and resource_id           live (clients find the authority by them)
//	... with a bad token: error=invalid_token stands before them     assumed
//	Entra token endpoint: form, answer, AADSTS numbers               doc
//	an assertion used twice is refused                               assumed
//	AD FS: password grant with a resource                            live (public clients), assumed (MSIS texts)
//	NTLM: a challenge per connection, Negotiate offered beside it    doc (MS-NLMP, MS-NTHT)
//	... NTLMv2 only; no Kerberos, no integrity code, no lockout      assumed
//	a new key: Pending, InProgress, then Active or Failed            doc (Options.KeyJobDelay)
//	... duplicates make it fail without another sign                 live
//	... AsyncJob stands in the key without $expand                   assumed
//	... a job is a record of asyncoperations, its name               doc, assumed (name)
//	ten keys online, five on premises; 16 columns, 900 bytes         doc
//	... without columns that are secured                             doc
//	... codes of an unfit column and of a key too many, all texts    assumed
//	definitions change by PUT of the whole; PATCH is 405             doc
//	... and take effect when they are published                      assumed (PublishAtOnce)
//	... in a change set: 501                                         not simulated
//	change tracking cannot be switched off online                    doc, assumed (the error)
//	a change of a table voids its delta tokens                       live, off (Options.ExpireOnSchemaChange)
//	webhook: body, headers, 60 s, a retry on 502 503 504, 256 KB     doc
//	... Content-Type application/json; the retry follows at once     assumed
//	... rings for Create, Update, Delete; once, also with an owner   assumed
//	... authvalue cannot be read: null                               doc, assumed (null)
//	... synchronous steps, other contracts: 501                      not simulated
//	limits a user: 6,000 requests, 20 minutes, 52 at once, in 300 s  doc (Options.Limits)
//	... refused requests count too, so that Retry-After grows        doc (grows), assumed (how)
//	... too many at once: Retry-After from 1 s                       assumed
//	x-ms-ratelimit headers: 1,200.00 seconds, 7999 requests          live
//	on premises: no limits, slower with load                         assumed (Options.LoadLatency)
//
// # Limits
//
// Everything is in memory, also with a data directory: about 0.8 kB for a record of 400 bytes, plus 24 bytes
// for every delete and about 100 for an entry of the write log (and the row, with
// RecordWrites). Request bodies are bounded (16 MB; a $batch 64 MB), so are
// filters (500 conditions, 64 levels). There are no security roles and no
// plug-ins beyond the scripted faults, and no cascading: a delete leaves lookups
// that point to the record as they are. Answers are
// odata.metadata=minimal, also to callers that ask for none; full is refused with 501.
package sim
