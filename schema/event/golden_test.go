package event

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenRecords has one event of every change.
func goldenRecords() map[Change]*Record {
	return map[Change]*Record{
		Loaded: with(func(r *Record) {
			r.Change, r.ReadBy, r.Former, r.References, r.Changed = Loaded, ByLoad, nil, nil, nil
			r.Previous, r.Causation, r.CausationSource, r.Correlation, r.TraceParent, r.TraceState = 0, "", "", "", "", ""
		}),
		Created: with(func(r *Record) {
			r.Change, r.Former, r.Changed, r.Previous = Created, nil, nil, 0
		}),
		Updated: updated(),
		Deleted: deletedRecord(),
	}
}

// dump writes a message as headers in order, a blank line and the payload.
func dump(header map[string][]string, data []byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteByte('\n')
	b.Write(data)
	b.WriteByte('\n')
	return b.Bytes()
}

// The contract with consumers is these bytes: a difference here is a difference
// to everything that reads the stream.
func TestPublishedMessagesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for change, r := range goldenRecords() {
		for _, mode := range []Mode{Structured, Binary} {
			s := settings()
			s.Mode = mode
			got := dump(encode(t, s, r))
			path := filepath.Join("testdata", "golden", string(change)+"."+string(mode)+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s: -want +got\n%s", path, diff)
			}
		}
	}
}
