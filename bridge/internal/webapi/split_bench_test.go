package webapi

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// benchPage is a page of n rows of about size bytes each, twelve columns a row.
func benchPage(n, size int) []byte {
	var b strings.Builder
	b.WriteString(`{"@odata.context":"https://contoso.example/api/data/v9.2/$metadata#accounts","value":[`)
	filler := strings.Repeat("x", max(1, (size-330)/8))
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"@odata.etag":"W/\"%d\"","accountid":"0a0b0c0d-0000-4000-8000-%012x","versionnumber":%d,"modifiedon":"2025-01-05T10:20:30Z","revenue":5000000.0000,"statecode":0,"_ownerid_value":"0a0b0c0d-0000-4000-8000-000000000001"`, 900000+i, i, 900000+i)
		for c := range 8 {
			fmt.Fprintf(&b, `,"column%d":"%s"`, c, filler)
		}
		b.WriteByte('}')
	}
	b.WriteString(`],"@odata.deltaLink":"https://contoso.example/api/data/v9.2/accounts?$deltatoken=1"}`)
	return []byte(b.String())
}

func BenchmarkSplitPage(b *testing.B) {
	for _, size := range []int{400, 2048} {
		raw := benchPage(5000, size)
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := splitPage(bytes.NewReader(raw), "accountid"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func TestARowCostsFewAllocations(t *testing.T) {
	raw := benchPage(1000, 400)
	got := testing.AllocsPerRun(5, func() {
		if _, err := splitPage(bytes.NewReader(raw), "accountid"); err != nil {
			t.Fatal(err)
		}
	})
	if perRow := got / 1000; perRow > 2.1 {
		t.Errorf("%.2f allocations a row, want its id and its date only", perRow)
	}
}
