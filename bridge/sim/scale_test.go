package sim

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func seedRow(i int) map[string]any {
	return map[string]any{
		"name": fmt.Sprintf("Account %d", i), "accountnumber": fmt.Sprintf("A%07d", i),
		"telephone1": "+49 89 1234567", "emailaddress1": fmt.Sprintf("office%d@contoso.example", i),
		"address1_city": "Munich", "numberofemployees": i % 1000, "description": strings.Repeat("x", 100),
	}
}

func TestMemoryPerRecordIsBounded(t *testing.T) {
	s := newTestServer(t, Options{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const n = 20_000
	before := heap()
	if err := s.Seed("account", n, seedRow); err != nil {
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
		follow(b, s, first.Next, track)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/page")
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
