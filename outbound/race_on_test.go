//go:build race

package outbound

// stormShare is the part of the storm seeds that a run takes: the race detector
// makes each several times as dear, and a race needs no rare seed.
const stormShare = 5
