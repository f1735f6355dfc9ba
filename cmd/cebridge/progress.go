package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"cebridge/bridge"
)

const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
	barWidth  = 30
)

// progress shows how far a long job is, with its rate and the time left: a bar that
// is drawn over on a terminal, a line now and then elsewhere.
type progress struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex
	what  string
	began time.Time
	shown time.Time
	drawn bool
}

func newProgress(w io.Writer, terminal bool) *progress { return &progress{w: w, terminal: terminal} }

// show takes one report.
func (p *progress) show(r bridge.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if r.What != p.what {
		p.finish()
		p.what, p.began, p.shown = r.What, now, now
		return
	}
	every := lineEvery
	if p.terminal {
		every = barEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	text := describe(r, now.Sub(p.began))
	if p.terminal {
		p.drawn = true
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// end leaves the cursor on a fresh line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}

func (p *progress) finish() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// describe is one line: records account [#####-----] 50% 5000/10000, 1000/s, 5s left.
func describe(r bridge.Progress, took time.Duration) string {
	rate := 0.0
	if s := took.Seconds(); s > 0 {
		rate = float64(r.Done) / s
	}
	if r.Total <= 0 {
		return fmt.Sprintf("%s %d, %.0f/s", r.What, r.Done, rate)
	}
	share := min(float64(r.Done)/float64(r.Total), 1)
	full := int(share * barWidth)
	text := fmt.Sprintf("%s [%s%s] %.0f%% %d/%d, %.0f/s", r.What,
		strings.Repeat("#", full), strings.Repeat("-", barWidth-full), 100*share, r.Done, r.Total, rate)
	if rate > 0 {
		left := time.Duration(float64(max(r.Total-r.Done, 0)) / rate * float64(time.Second))
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return text
}
