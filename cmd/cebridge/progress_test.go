package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/bridge"
)

// work reports a job of 60 s that does 10 items a second.
func work(p *progress) {
	for i := range int64(600) {
		p.show(bridge.Progress{What: "records account", Done: i, Total: 600})
		time.Sleep(100 * time.Millisecond)
	}
	p.end()
}

func TestProgressIsALineEveryTenSecondsWithoutATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		work(newProgress(&out, false))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 5 || strings.ContainsAny(out.String(), "\r\x1b") {
			t.Fatalf("%d lines:\n%s", len(lines), out.String())
		}
		if want := "records account [###############---------------] 50% 300/600, 10/s, 30s left"; lines[2] != want {
			t.Errorf("after 30 s %q, want %q", lines[2], want)
		}
	})
}

func TestProgressIsOneBarOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		work(newProgress(&out, true))
		if strings.Contains(out.String(), "\n") {
			t.Error("the bar scrolls")
		}
		if n := strings.Count(out.String(), "\r\x1b[K"); n < 250 || n > 320 {
			t.Errorf("drawn %d times in a minute", n)
		}
		if !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Error("the bar is left behind")
		}
	})
}

func TestProgressOfAnUnknownTotalShowsTheRate(t *testing.T) {
	t.Parallel()
	if got, want := describe(bridge.Progress{What: "x", Done: 50}, 10*time.Second), "x 50, 5/s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
