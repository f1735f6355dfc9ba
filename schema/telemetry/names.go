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
	OutboundState        = "cebridge.outbound.state"              // 1 for the table's present state
	CheckpointAge        = "cebridge.outbound.checkpoint.age"     // s
	LoadRows             = "cebridge.outbound.load.rows"          // rows read by the running initial load
	CommitDuration       = "cebridge.outbound.commit.duration"    // s

	InboundEvents   = "cebridge.inbound.events"       // settled messages, by route and result
	InboundRetries  = "cebridge.inbound.retries"      // by route and reason
	InboundInFlight = "cebridge.inbound.in_flight"    // messages held, by route
	DeadLetters     = "cebridge.inbound.dead_letters" // by route and reason
	ConsumerPending = "cebridge.inbound.pending"      // not delivered yet, by route
	ProcessDuration = "messaging.process.duration"    // s, from delivery to settlement
	WebAPIRequests  = "cebridge.webapi.requests"      // by operation, status and verdict
	WebAPIDuration  = "cebridge.webapi.duration"      // s, by operation
	WebAPIThrottled = "cebridge.webapi.throttled"     // answers that asked to wait
	WebAPIInFlight  = "cebridge.webapi.in_flight"     // requests running
	TokenExpiry     = "cebridge.webapi.token.expiry"  // s until the access token ends
	BuildInfo       = "cebridge.build_info"           // 1, with version and Go version
	NATSConnected   = "cebridge.nats.connected"       // 1 while connected
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
	AttrEvents  = "cebridge.events"
)

// Spans.
const (
	SpanPoll    = "poll"    // one round trip: a page fetched, compared, committed
	SpanFetch   = "fetch"   // one page read from the Web API
	SpanCommit  = "commit"  // one atomic batch
	SpanProcess = "process" // one inbound message, linked to the event's own trace
	SpanUpsert  = "upsert"  // one keyed write
)
