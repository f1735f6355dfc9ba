package sim

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

func seedRow(i int) map[string]any {
	return map[string]any{
		"name": fmt.Sprintf("Account %d", i), "accountnumber": fmt.Sprintf("A%07d", i),
		"telephone1": "+49 89 1234567", "emailaddress1": fmt.Sprintf("office%d@contoso.example", i),
		"address1_city": "Munich", "numberofemployees": i % 1000, "description": strings.Repeat("x", 200),
	}
}

// A record of about 400 bytes takes less than 1.5 kB, so that a million fits into
// 1.5 GB.
func TestMemoryPerRecordIsBounded(t *testing.T) {
	s := newTestServer(t, Options{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	n := uint64(200_000)
	if testing.Short() {
		n = 20_000
	}
	before := heap()
	if err := s.Seed("account", int(n), seedRow); err != nil {
		t.Fatal(err)
	}
	if perRow := (heap() - before) / n; perRow > 1500 {
		t.Errorf("%d bytes a record", perRow)
	} else {
		t.Logf("%d bytes a record", perRow)
	}
	runtime.KeepAlive(s)
}

func BenchmarkTrackedPage(b *testing.B) {
	s := newTestServer(b, Options{})
	if err := s.Seed("account", 100_000, seedRow); err != nil {
		b.Fatal(err)
	}
	const query = "accounts?$select=name,accountnumber,telephone1,emailaddress1,address1_city,numberofemployees,versionnumber,modifiedon"
	first := send(b, s, "GET", query, "", track).page(b)
	for b.Loop() {
		if a := follow(b, s, first.Next, track); a.status != 200 {
			b.Fatal(a.status)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/page")
}

// nowhere takes an answer at the cost of no memory.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
func (w *nowhere) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkKeyedUpsert is the whole way of an upsert by alternate key through the
// handler, without a network: half of them create, half update.
func BenchmarkKeyedUpsert(b *testing.B) {
	s := newTestServer(b, Options{})
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			path := fmt.Sprintf("/api/data/v9.2/accounts(accountnumber='%d')", i/2)
			r := &http.Request{
				Method: http.MethodPatch, Host: "org.example", URL: &url.URL{Path: path, RawPath: path}, ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Content-Type": {"application/json"}},
				Body:   io.NopCloser(strings.NewReader(`{"name":"Contoso","telephone1":"1"}`)),
			}
			w := &nowhere{header: http.Header{}}
			if s.Handler().ServeHTTP(w, r); w.status != http.StatusNoContent {
				b.Errorf("status %d", w.status)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "upserts/s")
}

func BenchmarkUpsertByKey(b *testing.B) {
	s := newTestServer(b, Options{})
	i := 0
	for b.Loop() {
		i++
		send(b, s, "PATCH", fmt.Sprintf("accounts(accountnumber='%d')", i%5000), `{"name":"n","telephone1":"1"}`)
	}
}

func BenchmarkSeed(b *testing.B) {
	s := newTestServer(b, Options{})
	if err := s.Seed("account", b.N, seedRow); err != nil {
		b.Fatal(err)
	}
}
