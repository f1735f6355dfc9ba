package main

import (
	"testing"

	"cebridge/bridge"
)

func TestAnEstimateSaysWhatItRestsOn(t *testing.T) {
	t.Parallel()
	e := bridge.Estimate{Table: "account", Rows: 4000, Sampled: 1000, Kept: 1000, Events: 4000, LoadRequests: 4, LoadSeconds: 8, EventBytes: 900, StreamBytes: 4 << 20, RequestsPerDay: 1440}
	want := "account: 4000 rows, 4 requests and 8s to load, 900 bytes an event, 4.0 MiB on the stream (a sample of 1000 records); then 1440 requests a day\n"
	if got := estimateText(e); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	e.Kept, e.Events, e.StreamBytes = 250, 1000, 1<<20
	want = "account: 4000 rows, 4 requests and 8s to load, about 1000 events (250 of 1000 sampled records pass the filter), 900 bytes an event, 1.0 MiB on the stream (a sample of 1000 records); then 1440 requests a day\n"
	if got := estimateText(e); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
