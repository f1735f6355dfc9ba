package webapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"cebridge/outbound"
)

// TestNoRowChangesWhileOthersAreRead reads pages in pieces of any size: every row must
// say what was sent for it, and still say so when all of them are read.
func TestNoRowChangesWhileOthersAreRead(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var want []string
		var body strings.Builder
		body.WriteString(`{"value":[`)
		for i := range 1 + random.IntN(400) {
			if i > 0 {
				body.WriteString(" ,\n")
			}
			// Now and then a row is larger than the pieces of the arena.
			size := random.IntN(3000)
			if random.IntN(100) == 0 {
				size = maxChunk + random.IntN(1000)
			}
			inner := fmt.Sprintf(`"accountid":"%s","versionnumber":%d,"text":"%s"`, guid1, i+1, strings.Repeat(string(rune('a'+i%26)), size))
			want = append(want, "{"+inner+"}")
			fmt.Fprintf(&body, `{"@odata.etag":"W/\"%d\"",%s}`, i+1, inner)
		}
		body.WriteString(`],"@odata.deltaLink":"d"}`)
		got, err := splitPage(&shreds{r: strings.NewReader(body.String()), random: random}, "accountid")
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Rows) != len(want) {
			t.Fatalf("%d rows, want %d", len(got.Rows), len(want))
		}
		for i, r := range got.Rows {
			if string(r.JSON) != want[i] {
				t.Fatalf("row %d is %.120q, want %.120q", i, r.JSON, want[i])
			}
		}
	}
}

// shreds hands out pieces of any size.
type shreds struct {
	r      io.Reader
	random *rand.Rand
}

func (s *shreds) Read(b []byte) (int, error) {
	return s.r.Read(b[:min(len(b), 1+s.random.IntN(5000))])
}

func TestACutConnectionIsNotAFaultOfThePage(t *testing.T) {
	t.Parallel()
	raw := "\xef\xbb\xbf" + page(testBase, row(guid1, 5, "A")+","+row(guid2, 6, "B"), deltaLink(testBase, "1"))
	for _, cut := range []error{io.ErrUnexpectedEOF, errTooLarge, errors.New("connection reset by peer")} {
		for i := range len(raw) {
			body := io.MultiReader(strings.NewReader(raw[:i]), iotest.ErrReader(cut))
			if p, err := splitPage(body, "accountid"); p != nil || err != cut {
				t.Fatalf("cut at byte %d: page %v, error %v, want %v", i, p, err, cut)
			}
		}
	}
}

func TestAPageTakesHardlyMoreMemoryThanItsRows(t *testing.T) {
	raw := benchPage(5000, 2048)
	// The tenth and the rest: the list of rows, ids and dates.
	most := uint64(len(raw))*11/10 + 2<<20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := splitPage(bytes.NewReader(raw), "accountid"); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	got := after.TotalAlloc - before.TotalAlloc
	if got > most {
		t.Errorf("a page of %d bytes allocates %d, want at most %d", len(raw), got, most)
	}
}

func TestSmallPagesTakeLittleMemory(t *testing.T) {
	t.Parallel()
	var a arena
	a.room(100)
	if cap(a.chunk) > minChunk {
		t.Errorf("the first piece has %d bytes", cap(a.chunk))
	}
	kept := outbound.Row{JSON: append(a.chunk, "kept"...)}
	a.chunk = a.chunk[:4]
	a.room(maxChunk * 2)
	_ = append(a.chunk, bytes.Repeat([]byte("x"), maxChunk*2)...)
	if string(kept.JSON) != "kept" {
		t.Errorf("an earlier piece changed: %q", kept.JSON)
	}
}
