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
//	GET    set            $select $filter $orderby $top $count, paging
//	GET    set            with Prefer: odata.track-changes, and its links
//	GET    set/$count     also with $deltatoken
//	POST   set            create
//	GET    set(key)       $select
//	PATCH  set(key)       upsert, update with If-Match, create with If-None-Match
//	DELETE set(key)
//	GET PUT DELETE set(key)/column, PUT DELETE set(key)/navigation/$ref
//
// where key is a GUID or an active alternate key. What the real API has and this
// one lacks is refused, with 501 and a message that begins with "Not simulated",
// or with the error the real one has: an unknown option is never ignored.
//
// Below /sim/ is the simulator's own API (write log, counters, faults), and the
// methods of Server do the same in process: Insert, Update, Delete and Seed are
// writes like any other and appear in the log and in change tracking.
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
//	tracking off: 400 0x80072491                                     assumed (status)
//	annotations on a tracked query drop the delta link               live (KeepDeltaLinkWithAnnotations)
//	expired token: fault online, everything on premises              doc (Options.ExpiredToken)
//	... the fault is 400 0x80044352                                  assumed (ExpiredGone)
//	delta link before the rows, load links after                     doc examples (DeltaLinkFirst, DeltaLinkLast)
//	/$count begins with a byte order mark                            doc
//	eq, contains and the like ignore case; ne is true for null       assumed
//	on premises: innererror, no codes from the OData layer           live, assumed (which)
//	on premises refuses v9.2 with 501                                assumed
//	impersonation of an unknown user: 403                            assumed
//
// # Limits
//
// Everything is in memory: about 0.8 kB for a record of 400 bytes, plus 24 bytes
// for every delete and about 100 for an entry of the write log (and the row, with
// RecordWrites). Request bodies are bounded (16 MB; a $batch 64 MB), so are
// filters (500 conditions, 64 levels). There is no authentication, no security
// roles, no plug-ins, no cascading: a delete leaves lookups that point to the
// record as they are. Answers are odata.metadata=minimal whatever is asked for.
package sim
