// Package admin is the HTTP port for people, probes and Prometheus. It only reads:
// no request changes anything.
//
// # What it serves
//
//	GET /livez        200 while the process answers
//	GET /readyz       200, or 503 with the reason (Source.Ready)
//	GET /startupz     503 until the bridge was ready once, 200 ever after
//	GET /status.json  Status; at most one second old
//	GET /metrics      Options.Metrics
//	GET /schemas/{table}/{version}.json  JSON Schema of a table's events
//	GET /             links to the above
//
// Ready means that the process takes part: it has started and is connected to NATS. A
// stopped route, a halted table or a route that another instance has leaves it ready,
// since the rest goes on and a restart would mend none of it; these are for Status and
// the metrics.
//
// HEAD works where GET does. Other methods answer 405, other paths 404 without a
// redirect; a path in percent-encoding is another path. A request with a body
// answers 413.
//
// # Who may ask
//
// Without Options.AllowRemote the server refuses to listen beyond the loopback
// interface. There is no login and no TLS: whoever opens the port to a network puts
// a proxy or a network policy before it. Against DNS rebinding, where a web page
// makes the browser of somebody on this machine talk to the port under the page's
// own name, a request is answered only under a host name that is known: the
// loopback names and addresses, the listen host, and Options.AllowedHosts. With
// AllowRemote any IP address counts as known, since rebinding needs a name, and
// probes use addresses that nobody can list beforehand. Others get 421.
//
// # Limits
//
// 128 connections; headers of 16 KiB within 5 seconds; an answer within 30 seconds.
// However many ask, Source.Status is called by one request at a time.
//
// Sources: Kubernetes probe documentation; RFC 9110 for 405, 413 and 421.
package admin
