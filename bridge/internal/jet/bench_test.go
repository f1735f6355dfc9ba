package jet

import (
	"testing"

	"cebridge/outbound"
)

func BenchmarkCommitOfAThousand(b *testing.B) {
	_, l := newLog(b)
	var seq uint64
	ms := events(0, 999, 400)
	for b.Loop() {
		seq = mustCommit(b, l, ms, seq)
	}
	b.ReportMetric(999*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkLastOfAThousand(b *testing.B) {
	_, l := newLog(b)
	seq := mustCommit(b, l, events(0, 999, 400), 0)
	var subjects []string
	for _, m := range events(0, 999, 0) {
		subjects = append(subjects, m.Subject)
	}
	for b.Loop() {
		if err := l.Last(b.Context(), names.Checkpoint("account"), seq, subjects, func(outbound.Stored) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(999*float64(b.N)/b.Elapsed().Seconds(), "subjects/s")
}
