// Package demo runs the whole bridge on embedded defaults: a JetStream server
// inside the process with a file store, the simulator over real HTTP, the bridge
// between them, and sample traffic in both directions.
//
// What it prints is what a stranger would see: outbound events come from an
// ordinary JetStream consumer, not from inside the bridge; inbound lines show the
// exact request that was sent. Nothing is faked, and any NATS or HTTP client can
// join at the printed addresses.
//
// The traffic is the same in every run with the same seed. The store lives in a
// temporary directory that is removed at the end, unless a directory is given: then
// the next demo with it goes on with the same records and streams.
package demo
