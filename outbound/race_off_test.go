//go:build !race

package outbound

const stormShare = 1
