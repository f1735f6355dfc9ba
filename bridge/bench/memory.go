package bench

import (
	"context"
	"fmt"

	"cebridge/bridge/sim"
)

// MemoryResult is how much memory a bridge process took for an initial load.
type MemoryResult struct {
	Rows int `json:"rows"`
	// PeakMiB is the highest resident size; HalfMiB was the peak when half the rows
	// were loaded. Flat memory means that the two hardly differ.
	PeakMiB float64 `json:"peak_mib"`
	HalfMiB float64 `json:"half_mib"`
	Seconds float64 `json:"seconds"`
}

// Memory loads o.Rows rows with a bridge and returns its peak resident size, without
// the raw loop. Linux only.
func Memory(ctx context.Context, o Options) (res MemoryResult, err error) {
	done, err := o.prepare()
	if err != nil {
		return res, err
	}
	defer done()
	s, err := newStage(ctx, o, lazySync, sim.Options{})
	if err != nil {
		return res, fmt.Errorf("bench memory: %w", err)
	}
	defer s.close()
	if err := s.accounts(o.Rows, o.RowBytes); err != nil {
		return res, err
	}
	f, err := s.ours(ctx, "memory", 0, o.Rows)
	return MemoryResult{Rows: o.Rows, PeakMiB: f.peak, HalfMiB: f.halfway, Seconds: f.seconds}, err
}
