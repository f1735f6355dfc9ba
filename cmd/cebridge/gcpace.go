package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// calmPercent halves the garbage collector's work beside Go's default. What the bridge
	// keeps is small, what it makes is short-lived: a tenth of the processor time for some
	// 16 MiB.
	calmPercent = 200
	// busyPercent halves it again, a twentieth of the processor time, where collections
	// follow each other closely: as far as all that is kept and the garbage fit in busyHeap.
	busyPercent = 400
	closely     = time.Second
	busyHeap    = 80 << 20
)

// gcPace sets how much garbage may gather, after each collection.
type gcPace struct {
	now  func() time.Time
	live func() uint64 // bytes that the last collection found in use
	set  func(percent int)

	last    time.Time
	percent int
}

// paceGC begins to do so. The environment's GOGC goes first.
func paceGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	p := &gcPace{now: time.Now, live: liveHeap, set: func(percent int) { debug.SetGCPercent(percent) }}
	p.collected()
	p.watch()
}

// watch calls collected after the next collection, and so on: what nobody holds is
// cleaned up by each.
func (p *gcPace) watch() {
	runtime.AddCleanup(&struct{ self *gcPace }{p}, func(p *gcPace) {
		p.collected()
		p.watch()
	}, p)
}

// collected decides until the next collection. It is called by one goroutine at a time.
func (p *gcPace) collected() {
	now, percent := p.now(), calmPercent
	if now.Sub(p.last) < closely {
		room := (int(busyHeap*10/max(p.live(), 1)) - 10) / 5 * 50 // in steps of 50 %
		percent = max(calmPercent, min(room, busyPercent))
	}
	p.last = now
	if percent != p.percent {
		p.percent = percent
		p.set(percent) // stops the world, as short as it is
	}
}

func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
