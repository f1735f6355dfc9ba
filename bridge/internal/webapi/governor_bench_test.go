package webapi

import (
	"context"
	"testing"
)

// BenchmarkAdmit is what the governor costs each request.
func BenchmarkAdmit(b *testing.B) {
	ctx := context.Background()
	one := func(b *testing.B, g *governor) {
		p, err := g.admit(ctx, inboundSide)
		if err != nil {
			b.Error(err)
			return
		}
		p.sign = clean
		g.done(p)
	}
	b.Run("alone", func(b *testing.B) {
		g := newGovernor(52)
		for b.Loop() {
			one(b, g)
		}
	})
	b.Run("crowded", func(b *testing.B) {
		g := newGovernor(1)
		b.SetParallelism(50)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one(b, g)
			}
		})
	})
}
