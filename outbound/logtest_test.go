package outbound_test

import (
	"strings"
	"testing"

	"cebridge/outbound"
	"cebridge/outbound/logtest"
)

// The simulation proves something about real streams as far as its stream is one.
func TestTheStreamOfTheSimulationIsAStream(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(*testing.T) logtest.Setup {
		m := outbound.NewModel()
		const largest = 4096
		m.Limits(outbound.MaxBatch, largest)
		return logtest.Setup{
			Stream: m,
			Rival:  func(*testing.T) outbound.Stream { return m },
			All: func(*testing.T) []outbound.Stored {
				return m.Events(strings.TrimSuffix(logtest.Names.Table("account"), "*"))
			},
			Stalled: func(*testing.T) (outbound.Stream, <-chan struct{}, func()) { return m.Stall() },
			Mute:    func(*testing.T) (outbound.Stream, func()) { return m.Mute() },
			Fill:    func(*testing.T) { m.Refuse(outbound.ErrFull) },
			Limit:   func(_ *testing.T, n int) { m.Limits(n, largest) },
			OpenBatches: func(*testing.T) func() {
				m.Refuse(outbound.ErrUnavailable)
				return func() { m.Refuse(nil) }
			},
			Lag: func(*testing.T) (outbound.Stream, func()) {
				m.Behind(1)
				return m, func() { m.Behind(0) }
			},
			MaxMessage: largest,
		}
	})
}
