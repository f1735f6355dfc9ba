package event

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestReadHeaderTellsWhatEncodeWrote(t *testing.T) {
	t.Parallel()
	encoders := map[Mode]*Encoder{}
	for _, mode := range []Mode{Structured, Binary} {
		s := settings()
		s.Mode = mode
		encoders[mode] = mustEncoder(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		r := updated()
		r.Version = rapid.Int64Range(1, math.MaxInt64).Draw(t, "version")
		r.Epoch = rapid.IntRange(1, MaxEpoch).Draw(t, "epoch")
		r.Hash = rapid.Uint64().Draw(t, "hash")
		r.Change = rapid.SampledFrom([]Change{Loaded, Created, Updated, Deleted}).Draw(t, "change")
		if r.Change == Deleted {
			r.Row = nil
		}
		header, _, err := encoders[rapid.SampledFrom([]Mode{Structured, Binary}).Draw(t, "mode")].Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		want := Published{Version: r.Version, Epoch: r.Epoch, Change: r.Change, Hash: r.Hash}
		if got != want || got.Deleted() != (r.Change == Deleted) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestReadHeaderRefusesForeignMessages(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header, value string
	}{
		"version missing":      {HeaderVersion, ""},
		"version a word":       {HeaderVersion, "new"},
		"version 0":            {HeaderVersion, "0"},
		"version negative":     {HeaderVersion, "-5"},
		"version too large":    {HeaderVersion, "9223372036854775808"},
		"epoch missing":        {HeaderEpoch, ""},
		"epoch 0":              {HeaderEpoch, "0"},
		"epoch of 5 digits":    {HeaderEpoch, "10000"},
		"change missing":       {HeaderChange, ""},
		"change unknown":       {HeaderChange, "merged"},
		"hash missing":         {HeaderHash, ""},
		"hash too short":       {HeaderHash, "ab"},
		"hash with other text": {HeaderHash, "zzzzzzzzzzzzzzzz"},
	} {
		header, _ := encode(t, settings(), updated())
		delete(header, tc.header)
		if tc.value != "" {
			header[tc.header] = []string{tc.value}
		}
		p, err := ReadHeader(header)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.header) || p != (Published{}) {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
	header, _ := encode(t, settings(), updated())
	header[HeaderVersion] = append(header[HeaderVersion], "9")
	if _, err := ReadHeader(header); err == nil {
		t.Error("a header that is there twice was read")
	}
	if _, err := ReadHeader(nil); err == nil {
		t.Error("no headers at all were read")
	}
}

func TestReadHeaderDoesNotAllocate(t *testing.T) {
	header, _ := encode(t, settings(), updated())
	if got := testing.AllocsPerRun(100, func() {
		if _, err := ReadHeader(header); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestReadDataReturnsTheBytesThatWerePublished(t *testing.T) {
	t.Parallel()
	records := sampleRecords()
	records["row with faults of its own"] = with(func(r *Record) {
		r.Row = []byte(`{"a":1,"a":2,"b":"\ud800","c":1e400}`)
	})
	for name, r := range records {
		for _, mode := range []Mode{Structured, Binary} {
			s := settings()
			s.Mode = mode
			header, data := encode(t, s, r)
			got, err := ReadData(header, data)
			if err != nil {
				t.Errorf("%s, %s: %v", name, mode, err)
				continue
			}
			want := Data{Record: r.Row, Previous: r.Former, References: r.References}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s: -want +got\n%s", name, mode, diff)
			}
		}
	}
}

func TestReadDataRefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	structured := map[string][]string{HeaderContentType: {ContentTypeStructured}}
	for name, tc := range map[string]struct {
		header map[string][]string
		data   string
	}{
		"empty":                   {structured, ""},
		"empty binary":            {nil, ""},
		"no data member":          {structured, `{"specversion":"1.0"}`},
		"data is a text":          {structured, `{"data":"x"}`},
		"record is an array":      {structured, `{"data":{"record":[]}}`},
		"record is null":          {nil, `{"record":null}`},
		"cut":                     {structured, `{"data":{"record":{}}`},
		"more follows":            {structured, `{"data":{}}{}`},
		"name without a value":    {nil, `{"record"}`},
		"name is a number":        {nil, `{1:2}`},
		"deep":                    {nil, `{"record":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`},
		"beyond the bound":        {nil, strings.Repeat(" ", MaxBody+1)},
		"JSON array":              {nil, `[]`},
		"closing bracket is what": {nil, `{]`},
	} {
		if got, err := ReadData(tc.header, []byte(tc.data)); !errors.Is(err, ErrInvalid) || !cmp.Equal(got, Data{}) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestReadDataDoesNotLeakIntoNeighbours(t *testing.T) {
	t.Parallel()
	header, data := encode(t, settings(), updated())
	before := string(data)
	d, err := ReadData(header, data)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(d.Record, "overwritten"...)
	if string(data) != before {
		t.Error("appending to the record changed the message")
	}
}
