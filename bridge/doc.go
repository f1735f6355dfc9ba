// Package bridge is the roof of the program: it builds every part from one
// Config and runs them together.
//
//	cfg, err := bridge.LoadConfig("cebridge.yaml")
//	b, err := bridge.New(cfg, bridge.WithLogger(log))
//	err = b.Run(ctx)
//
// New checks what can be checked without a connection. Start connects, checks the
// configuration against the live metadata of Customer Engagement, provides the
// streams and starts the tables and routes. It waits while Customer Engagement or
// NATS cannot be reached, and fails when a person has to change something: a
// faulty configuration fails with schema.Problems. A route that relies on a declared
// alternate key whose index is not Active is held by itself, with its reason in the
// status, and starts when the key is; the rest runs. Stop is bounded and leaves
// nothing half done: what was not confirmed stays unacknowledged and uncommitted.
//
// The order of stopping is the reverse of starting, in named steps: readiness off;
// tables stop polling and routes stop pulling; running commits and writes finish
// and are settled; the NATS connection drains; an embedded server stops; telemetry
// is flushed; the admin port closes last, so that probes see the drain.
//
// An Operator does what a person asks for beside running bridges: it compares Customer
// Engagement with the stream, replays and erases events, plans and applies what the
// organization and JetStream lack, and asks running bridges over NATS to poll, pause,
// resume or resync a table. It starts nothing and needs no bridge but for the last.
//
// A Trial shows what a route makes of an event, up to the exact requests, by the code
// that a running route uses, and connects to nothing.
//
// ConfigSchema and ShowConfig describe the configuration file by what its one reader asks
// for, so that neither can tell another story: a JSON Schema for editors, and a file with
// its defaults and without its secrets.
//
// While messages of a route wait for a record of Customer Engagement, the bridge listens
// to the events of that record's table, whoever publishes them, and tells the route.
//
// The process keeps no state of its own. Everything it must remember is on the
// streams, so it may be killed anywhere and started anywhere else.
package bridge
