package telemetry

// Scope is the instrumentation scope of every meter and tracer.
const Scope = "cebridge"

// Metrics. Prometheus shows dots as underscores and adds unit and _total.
const (
	OutboundEvents       = "cebridge.outbound.events"             // events published, by table and change
	OutboundSkipped      = "cebridge.outbound.skipped"            // rows not published, by table and reason
	OutboundLag          = "cebridge.outbound.lag"                // s: now minus start of the last fully published poll
	OutboundPollDuration = "cebridge.outbound.poll.duration"      // s
	OutboundSinceSuccess = "cebridge.outbound.poll.since_success" // s
	OutboundFailures     = "cebridge.outbound.failures"           // failed polls and commits, by table and reason
	OutboundFenced       = "cebridge.outbound.fenced"             // commits refused because another writer was first
	OutboundResyncs      = "cebridge.outbound.resyncs"            // full reads held against the stream, by table and reason
	OutboundMissed       = "cebridge.outbound.missed"             // events of rows that a round of several pages had skipped
	OutboundLateCommits  = "cebridge.outbound.late_commit"        // events that only the overlap found
	OutboundClaimed      = "cebridge.outbound.claimed"            // events whose data was put into the object store, by table
	OutboundTokenAge     = "cebridge.outbound.token.age"          // s: age of the delta link
	OutboundTokenLife    = "cebridge.outbound.token.life"         // s: how long a delta link may be used, 0 unknown
	OutboundState        = "cebridge.outbound.state"              // 1 for the table's present state
	CheckpointAge        = "cebridge.outbound.checkpoint.age"     // s
	LoadRows             = "cebridge.outbound.load.rows"          // rows read by the running initial load
	CommitDuration       = "cebridge.outbound.commit.duration"    // s

	InboundEvents    = "cebridge.inbound.events"       // settled messages, by route and result
	InboundRetries   = "cebridge.inbound.retries"      // by route and reason
	InboundInFlight  = "cebridge.inbound.in_flight"    // messages held, by route
	DeadLetters      = "cebridge.inbound.dead_letters" // by route and reason
	ConsumerPending  = "cebridge.inbound.pending"      // not delivered yet, by route
	InboundHeld      = "cebridge.inbound.held"         // 1 while the route waits for an alternate key
	InboundParked    = "cebridge.inbound.parked"       // messages parked, as far as this instance knows, by route
	InboundStopped   = "cebridge.inbound.stopped"      // 1 while the route is stopped until a person acts
	InboundState     = "cebridge.inbound.state"        // 1 for the route's present state in this instance, by route and state
	ProcessDuration  = "messaging.process.duration"    // s, from delivery to settlement
	WebAPIRequests   = "cebridge.webapi.requests"      // by operation, status and verdict
	WebAPIDuration   = "cebridge.webapi.duration"      // s, by operation
	WebAPIThrottled  = "cebridge.webapi.throttled"     // answers that asked to wait
	WebAPIInFlight   = "cebridge.webapi.in_flight"     // requests running
	WebAPILimit      = "cebridge.webapi.limit"         // requests that may run at once
	WebAPIWait       = "cebridge.webapi.wait"          // s a request waited before it was sent, by direction and reason
	WebAPIBatched    = "cebridge.webapi.batched"       // requests answered inside of $batch requests, by operation and status
	WebAPIMadeActive = "cebridge.webapi.made_active"   // new records that took a second request to become inactive
	WebAPIRedirected = "cebridge.webapi.redirected"    // writes that went to, or refer to, another record than their key meant before, by reason
	TokenExpiry      = "cebridge.webapi.token.expiry"  // s until the access token ends
	DoorbellRings    = "cebridge.doorbell.rings"       // rings of the doorbell, by result
	BuildInfo        = "cebridge.build_info"           // 1, with version and Go version
	NATSConnected    = "cebridge.nats.connected"       // 1 while connected
)

// Attributes.
const (
	AttrTable   = "cebridge.table"
	AttrRoute   = "cebridge.route"
	AttrChange  = "cebridge.change"
	AttrReason  = "cebridge.reason"
	AttrResult  = "cebridge.result"
	AttrVerdict = "cebridge.verdict"
	AttrState   = "cebridge.state"
	AttrOp      = "cebridge.operation"
	AttrStatus  = "http.response.status_code"
	AttrRows    = "cebridge.rows"
	// AttrDirection is outbound or inbound.
	AttrDirection = "cebridge.direction"
	AttrEvents    = "cebridge.events"
)

// EventMadeActive is the span event of a record that was made active, and that a second
// request is to make inactive.
const EventMadeActive = "made active first"

// Spans.
const (
	SpanPoll    = "poll"    // one round trip: a page fetched, compared, committed
	SpanFetch   = "fetch"   // one page read from the Web API
	SpanCommit  = "commit"  // one atomic batch
	SpanProcess = "process" // one inbound message, linked to the event's own trace
	SpanUpsert  = "upsert"  // one keyed write
)
