// Package telemetry holds the name of every metric, span and attribute of the
// bridge, and nothing else. Providers are built in package bridge; engines get a
// meter and a tracer handed in.
//
// Labels are bounded: tables, routes, verdicts and reasons come from the
// configuration or from closed sets. Record ids, keys and texts are never labels.
package telemetry
